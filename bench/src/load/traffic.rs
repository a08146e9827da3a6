//! Tokens: who writes, who must get them, what came, and whether that is right.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::connection::End;
use super::driver::{Driver, Sink};
use super::latency::Latency;
use super::token::{self, Stamp};

/// Sizes of `data` in bytes, in turn: a word, a sentence, a short paragraph.
pub(crate) const DATA_BYTES: [usize; 3] = [60, 120, 300];

/// One connection's part in the traffic.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    /// The writers of its room, as a range of writer numbers.
    pub writers: std::ops::Range<usize>,
    /// Its own writer number, if it writes.
    pub writer: Option<usize>,
    /// Whether it gets its own tokens back.
    pub self_subscribe: bool,
    /// Whether its deliveries count. A stalled reader's do not.
    pub counted: bool,
}

/// What went wrong in a run. Every figure must be zero for its result to be valid.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Faults {
    /// Deliveries that never came.
    pub missing: u64,
    /// Tokens that were not the next of their stream.
    pub out_of_order: u64,
    /// Tokens that came back to a writer that did not ask for them.
    pub echoed: u64,
    /// Tokens of another room.
    pub foreign: u64,
    /// Connections that ended.
    pub ended: u64,
    /// How the first of them ended.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub first_end: Option<String>,
}

impl Faults {
    /// Whether nothing went wrong.
    pub(crate) fn none(&self) -> bool {
        *self == Self::default()
    }
}

#[derive(Debug)]
struct Reader {
    member: Member,
    /// The next sequence number of each writer of the room.
    expected: Vec<u32>,
    /// Where the stamp was in the last token.
    hint: usize,
}

#[derive(Debug)]
struct Writer {
    connection: usize,
    /// How many connections must get each token.
    recipients: u32,
    next_sequence: u32,
    /// How many are still to get each of the tokens from `first_open` on.
    open: VecDeque<u32>,
    first_open: u32,
    outstanding: usize,
}

/// All writers and readers of a scenario, by connection index, and what they have sent and got.
#[derive(Debug)]
pub(crate) struct Traffic {
    readers: Vec<Reader>,
    writers: Vec<Writer>,
    data_bytes: &'static [usize],
    frame: Vec<u8>,
    /// Writers that got a token through to everybody since this list was taken last.
    freed: Vec<usize>,
    /// Tokens sent.
    pub sent: u64,
    /// Deliveries that the sent tokens must make.
    pub expected: u64,
    /// Deliveries that came.
    pub delivered: u64,
    /// From when a token was due to when it was delivered.
    pub latency: Latency,
    /// From when a token was due to when it was sent: the generator's own lateness.
    pub lateness: Latency,
    /// What went wrong.
    pub faults: Faults,
    /// How a connection whose deliveries do not count ended.
    pub uncounted_end: Option<End>,
    /// When the first text frame came that is no token, such as who came and went.
    pub first_notice_ns: Option<u64>,
}

impl Traffic {
    /// The traffic among `members`, one per connection of the driver; writers are numbered from 0 without holes.
    pub(crate) fn new(members: Vec<Member>, data_bytes: &'static [usize]) -> Self {
        let writer_count = members.iter().filter(|member| member.writer.is_some()).count();
        let mut writers: Vec<Writer> = (0..writer_count)
            .map(|_| Writer {
                connection: 0,
                recipients: 0,
                next_sequence: 0,
                open: VecDeque::new(),
                first_open: 0,
                outstanding: 0,
            })
            .collect();
        for (index, member) in members.iter().enumerate() {
            for number in member.writers.clone() {
                let own = member.writer == Some(number);
                writers[number].recipients += u32::from(member.counted && (!own || member.self_subscribe));
            }
            if let Some(number) = member.writer {
                writers[number].connection = index;
            }
        }
        let readers = members
            .into_iter()
            .map(|member| Reader { expected: vec![0; member.writers.len()], member, hint: 0 })
            .collect();
        Self {
            readers,
            writers,
            data_bytes,
            frame: Vec::new(),
            freed: Vec::new(),
            sent: 0,
            expected: 0,
            delivered: 0,
            latency: Latency::new(),
            lateness: Latency::new(),
            faults: Faults::default(),
            uncounted_end: None,
            first_notice_ns: None,
        }
    }

    /// How many writers there are.
    pub(crate) fn writer_count(&self) -> usize {
        self.writers.len()
    }

    /// How many of a writer's tokens have not reached everybody.
    pub(crate) fn outstanding(&self, writer: usize) -> usize {
        self.writers[writer].outstanding
    }

    /// Queues a writer's next token on its connection; the caller flushes it.
    pub(crate) fn push(&mut self, driver: &mut Driver, writer: usize, due_ns: u64) -> usize {
        let state = &mut self.writers[writer];
        let sequence = state.next_sequence;
        let size = self.data_bytes[sequence as usize % self.data_bytes.len()];
        Stamp { writer: writer as u16, sequence, due_ns }.render(&mut self.frame, size);
        driver.push_text(state.connection, &self.frame);
        state.next_sequence += 1;
        state.open.push_back(state.recipients);
        state.outstanding += 1;
        self.sent += 1;
        self.expected += u64::from(state.recipients);
        self.lateness.record(due_ns, driver.now_ns());
        state.connection
    }

    /// The writers that got a token through since the last call; a writer may be in it several times.
    pub(crate) fn take_freed(&mut self, into: &mut Vec<usize>) {
        into.clear();
        into.append(&mut self.freed);
    }

    /// Whether everything that was sent has arrived.
    pub(crate) fn complete(&self) -> bool {
        self.delivered == self.expected
    }

    /// Forgets figures, but not what the next sequence numbers are: the warm-up is over.
    pub(crate) fn restart_figures(&mut self) {
        self.sent = 0;
        self.expected = 0;
        self.delivered = 0;
        self.latency.clear();
        self.lateness.clear();
        self.freed.clear();
        self.first_notice_ns = None;
    }

    /// Counts one token that `index` got.
    fn received(&mut self, index: usize, stamp: Stamp, now_ns: u64) {
        let reader = &mut self.readers[index];
        let number = usize::from(stamp.writer);
        if !reader.member.writers.contains(&number) {
            self.faults.foreign += 1;
            return;
        }
        if reader.member.writer == Some(number) && !reader.member.self_subscribe {
            self.faults.echoed += 1;
            return;
        }
        if !reader.member.counted {
            return;
        }
        let expected = &mut reader.expected[number - reader.member.writers.start];
        if *expected != stamp.sequence {
            self.faults.out_of_order += 1;
            if stamp.sequence < *expected {
                return;
            }
        }
        *expected = stamp.sequence + 1;
        self.delivered += 1;
        self.latency.record(stamp.due_ns, now_ns);
        self.writers[number].count_down(stamp.sequence, number, &mut self.freed);
    }
}

impl Writer {
    /// One recipient has got token `sequence`; when it was the last one, the writer is free to send another.
    fn count_down(&mut self, sequence: u32, number: usize, freed: &mut Vec<usize>) {
        let Some(open) = self.open.get_mut(sequence.wrapping_sub(self.first_open) as usize) else { return };
        *open = open.saturating_sub(1);
        if *open == 0 {
            self.outstanding = self.outstanding.saturating_sub(1);
            freed.push(number);
        }
        while self.open.front() == Some(&0) {
            self.open.pop_front();
            self.first_open += 1;
        }
    }
}

impl Sink for Traffic {
    fn text(&mut self, index: usize, payload: &[u8], now_ns: u64) {
        match token::find(payload, &mut self.readers[index].hint) {
            Some(stamp) => self.received(index, stamp, now_ns),
            None => {
                self.first_notice_ns.get_or_insert(now_ns);
            }
        }
    }

    fn ended(&mut self, index: usize, end: End) {
        if self.readers[index].member.counted {
            self.faults.ended += 1;
            self.faults.first_end.get_or_insert_with(|| format!("connection {index} {end}"));
        } else {
            self.uncounted_end = Some(end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Connection 0 writes and 1 and 2 read.
    fn three() -> Traffic {
        let reader = Member { writers: 0..1, writer: None, self_subscribe: false, counted: true };
        let mut traffic =
            Traffic::new(vec![Member { writer: Some(0), ..reader.clone() }, reader.clone(), reader], &DATA_BYTES);
        let writer = &mut traffic.writers[0];
        writer.open.extend([2, 2, 2]);
        writer.outstanding = 3;
        traffic
    }

    fn token(sequence: u32) -> Stamp {
        Stamp { writer: 0, sequence, due_ns: 10 }
    }

    #[test]
    fn a_token_is_through_when_everybody_but_its_writer_has_it() {
        let mut traffic = three();
        assert_eq!(traffic.writers[0].recipients, 2);
        traffic.received(1, token(0), 20);
        assert_eq!((traffic.outstanding(0), traffic.freed.len()), (3, 0));
        traffic.received(2, token(0), 30);
        assert_eq!((traffic.outstanding(0), traffic.freed.as_slice()), (2, [0].as_slice()));
        assert!(traffic.faults.none());
    }

    #[test]
    fn loss_repetition_echo_and_strangers_are_noticed() {
        let mut traffic = three();
        traffic.received(1, token(1), 20);
        assert_eq!(traffic.faults.out_of_order, 1);
        traffic.received(1, token(1), 20);
        assert_eq!((traffic.faults.out_of_order, traffic.delivered), (2, 1));
        traffic.received(0, token(2), 20);
        assert_eq!(traffic.faults.echoed, 1);
        traffic.received(2, Stamp { writer: 7, ..token(0) }, 20);
        assert_eq!(traffic.faults.foreign, 1);
    }

    #[test]
    fn a_lost_reader_is_a_fault_and_an_uncounted_one_is_not() {
        let mut traffic = three();
        traffic.readers[2].member.counted = false;
        traffic.ended(2, End::Cut("x".into()));
        assert!(traffic.faults.none() && traffic.uncounted_end.is_some());
        traffic.ended(1, End::Closed { code: 4290, reason: "slow".into() });
        assert_eq!(traffic.faults.first_end.as_deref(), Some("connection 1 closed with 4290 slow"));
    }
}
