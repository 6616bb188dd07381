//! What waits to be sent: bounded, and of one alert only the newest.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::alerts::Alert;

/// So many messages wait at most.
pub(super) const MOST: usize = 100;

/// Alerts of which a webhook is to be told, oldest first.
#[derive(Debug, Default)]
pub(super) struct Queue(VecDeque<Arc<Alert>>);

impl Queue {
    /// Puts one in; true when another had to go for it.
    pub(super) fn push(&mut self, alert: Arc<Alert>) -> bool {
        // What was to be told of it is not true any more.
        if let Some(waiting) = self.0.iter_mut().find(|waiting| waiting.id == alert.id) {
            *waiting = alert;
            return false;
        }
        self.0.push_back(alert);
        let full = self.0.len() > MOST;
        if full {
            self.0.pop_front();
        }
        full
    }

    pub(super) fn pop(&mut self) -> Option<Arc<Alert>> {
        self.0.pop_front()
    }

    /// Something newer about this alert, if that has come.
    pub(super) fn take(&mut self, id: &str) -> Option<Arc<Alert>> {
        let index = self.0.iter().position(|waiting| waiting.id == id)?;
        self.0.remove(index)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
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
    fn the_oldest_makes_room() {
        let mut queue = Queue::default();
        let dropped = (0..MOST + 3).filter(|id| queue.push(alert(*id, 1))).count();
        assert_eq!((dropped, queue.len(), queue.pop().unwrap().id.as_str()), (3, MOST, "3"));
    }
}
