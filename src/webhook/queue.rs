//! What waits to be sent: bounded, and of one alert only the newest.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::alerts::Alert;

/// So many messages wait at most.
pub(super) const MOST: usize = 100;

/// Alerts of which a webhook is to be told, oldest first.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: VecDeque<Arc<Alert>>,
    /// The id of the one that is being sent.
    in_hand: Option<String>,
}

impl Queue {
    /// Puts one in; true when another had to go for it.
    pub(super) fn push(&mut self, alert: Arc<Alert>) -> bool {
        // What was to be told of it is not true any more.
        if let Some(waiting) = self.waiting.iter_mut().find(|waiting| waiting.id == alert.id) {
            *waiting = alert;
            return false;
        }
        self.waiting.push_back(alert);
        let full = self.waiting.len() > MOST;
        if full {
            self.waiting.pop_front();
        }
        full
    }

    /// Takes the oldest in hand, in place of what was.
    pub(super) fn pop(&mut self) -> Option<Arc<Alert>> {
        let next = self.waiting.pop_front();
        self.in_hand = next.as_ref().map(|alert| alert.id.clone());
        next
    }

    /// What is in hand needs to be sent no more.
    pub(super) fn done(&mut self) {
        self.in_hand = None;
    }

    /// Alerts that are yet to be told, the one in hand too.
    pub(super) fn untold(&self) -> usize {
        let waits_anew = |id: &String| self.waiting.iter().any(|alert| alert.id == *id);
        self.waiting.len() + usize::from(self.in_hand.as_ref().is_some_and(|id| !waits_anew(id)))
    }

    /// Something newer about this alert, if that has come.
    pub(super) fn take(&mut self, id: &str) -> Option<Arc<Alert>> {
        let index = self.waiting.iter().position(|waiting| waiting.id == id)?;
        self.waiting.remove(index)
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(id: usize, times: u64) -> Arc<Alert> {
        let mut alert = Alert::test(id.to_string(), 0);
        alert.times = times;
        Arc::new(alert)
    }

    #[test]
    fn of_one_alert_only_the_newest_waits() {
        let mut queue = Queue::default();
        for (id, times) in [(1, 1), (2, 1), (1, 2)] {
            assert!(!queue.push(alert(id, times)));
        }
        let waiting: Vec<_> = std::iter::from_fn(|| queue.pop()).map(|alert| (alert.id.clone(), alert.times)).collect();
        assert_eq!(waiting, [("1".to_owned(), 2), ("2".to_owned(), 1)]);
    }

    #[test]
    fn what_is_in_hand_is_untold_until_it_is_done() {
        let mut queue = Queue::default();
        queue.push(alert(1, 1));
        queue.push(alert(2, 1));
        queue.pop();
        assert_eq!((queue.len(), queue.untold()), (1, 2));
        queue.push(alert(1, 2));
        assert_eq!(queue.untold(), 2, "it is one alert still");
        queue.take("1");
        queue.done();
        assert_eq!(queue.untold(), 1);
    }

    #[test]
    fn the_oldest_makes_room() {
        let mut queue = Queue::default();
        let dropped = (0..MOST + 3).filter(|id| queue.push(alert(*id, 1))).count();
        assert_eq!((dropped, queue.len(), queue.pop().unwrap().id.as_str()), (3, MOST, "3"));
    }
}
