//! One answer for everybody who asked before it was begun: what is costly, changes all the time, and may be asked for by
//! anybody is made once for a crowd, one at a time, and is never older than the question.

use std::time::Instant;

use tokio::sync::Mutex;

/// The last answer.
#[derive(Debug)]
pub struct Latest<T>(Mutex<Option<Made<T>>>);

#[derive(Debug)]
struct Made<T> {
    /// When it was begun.
    began: Instant,
    answer: T,
}

impl<T> Default for Latest<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> Latest<T> {
    /// An answer that was begun after this was called. `make` is given the last one. If whoever makes it goes away, the
    /// next one who waits does.
    pub(super) async fn get(&self, make: impl AsyncFnOnce(Option<&T>) -> T) -> T {
        let came = Instant::now();
        let mut last = self.0.lock().await;
        if let Some(made) = last.as_ref().filter(|made| made.began > came) {
            return made.answer.clone();
        }
        let began = Instant::now();
        let answer = make(last.as_ref().map(|made| &made.answer)).await;
        *last = Some(Made { began, answer: answer.clone() });
        answer
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::Semaphore;
    use tokio::task::JoinSet;

    use super::*;

    #[tokio::test]
    async fn a_crowd_is_answered_by_two_and_by_nothing_older_than_its_question() {
        const CROWD: usize = 100;
        let latest = Arc::new(Latest::<u32>::default());
        let (made, gate) = (Arc::new(AtomicU32::new(0)), Arc::new(Semaphore::new(0)));
        let mut asked = JoinSet::new();
        let ask = || {
            let (latest, made, gate) = (Arc::clone(&latest), Arc::clone(&made), Arc::clone(&gate));
            async move {
                let make = async |_: Option<&u32>| {
                    let number = made.fetch_add(1, Ordering::SeqCst) + 1;
                    gate.acquire().await.unwrap().forget();
                    number
                };
                latest.get(make).await
            }
        };
        asked.spawn(ask());
        while made.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        // All of these come while the first is being made, so they wait for another.
        for _ in 0..CROWD {
            asked.spawn(ask());
        }
        for _ in 0..CROWD {
            tokio::task::yield_now().await;
        }
        gate.add_permits(2);
        let mut answers: Vec<u32> = asked.join_all().await;
        answers.sort_unstable();
        assert_eq!((answers[0], &answers[1..]), (1, &[2; CROWD][..]));
        // Who asks later gets a new one, and sees the last.
        assert_eq!(latest.get(async |last| last.copied().unwrap() + 10).await, 12);
    }

    #[tokio::test]
    async fn who_goes_away_while_making_it_holds_nobody_up() {
        let latest = Latest::<u32>::default();
        let gone = tokio::time::timeout(
            std::time::Duration::ZERO,
            latest.get(async |_| std::future::pending().await),
        );
        gone.await.unwrap_err();
        assert_eq!(latest.get(async |last| last.map_or(7, |_| 8)).await, 7);
    }
}
