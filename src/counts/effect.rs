//! What a transaction does to a table's count.

/// A function on counts: first perhaps set, then moved. `TRUNCATE` is "set to 0".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effect {
    set: Option<i64>,
    delta: i64,
}

impl Effect {
    /// `rows` more, or less.
    pub fn rows(rows: i64) -> Self {
        Self { set: None, delta: rows }
    }

    /// Exactly `rows`, whatever was before.
    pub fn set(rows: i64) -> Self {
        Self { set: Some(rows), delta: 0 }
    }

    /// This, then `next`.
    #[must_use]
    pub fn then(self, next: Effect) -> Self {
        if next.set.is_some() { next } else { Self { set: self.set, delta: self.delta + next.delta } }
    }

    /// What becomes of `count`.
    pub fn on(self, count: i64) -> i64 {
        self.set.unwrap_or(count) + self.delta
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_effect() -> impl Strategy<Value = Effect> {
        (proptest::option::of(0..100_i64), -100..100_i64).prop_map(|(set, delta)| Effect { set, delta })
    }

    proptest! {
        #[test]
        fn then_is_doing_one_after_the_other(a in any_effect(), b in any_effect(), count in 0..1000_i64) {
            prop_assert_eq!(a.then(b).on(count), b.on(a.on(count)));
        }

        #[test]
        fn then_is_associative(a in any_effect(), b in any_effect(), c in any_effect()) {
            prop_assert_eq!(a.then(b).then(c), a.then(b.then(c)));
        }
    }
}
