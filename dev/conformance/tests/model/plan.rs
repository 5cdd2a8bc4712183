//! What a seed says: the world, its callers, and what the server does to each copy.

use std::time::Duration;

/// SplitMix64: numbers that a seed determines.
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut rng = Rng(seed ^ stream.wrapping_mul(0xd134_2543_de82_ef95));
        rng.next();
        rng
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// True so many times in a thousand.
    fn chance(&mut self, per_mille: usize) -> bool {
        self.below(1000) < per_mille
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

/// A world: what does not change from send to send.
#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    pub https: bool,
    pub tls12: bool,
    /// Whether requests go through a proxy: in absolute form, or by CONNECT.
    pub proxied: bool,
    /// The sends of each thread, in order.
    pub threads: Vec<Vec<SendPlan>>,
    /// What is done to the transmissions of the last send, whatever the seed says; what comes
    /// after these is executed.
    pub script: Vec<Item>,
}

/// What is done to a transmission that a script names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Item {
    /// This, and whether it is executed where that is open.
    Do(How, bool),
    /// The connection is dropped before the handshake.
    Absent,
}

/// One send, as its caller wants it.
#[derive(Clone, Debug)]
pub struct SendPlan {
    pub id: usize,
    /// With a secret key, or else with an access token, which has neither nonce nor time.
    pub signed: bool,
    pub idempotent: bool,
    pub retries: u32,
    pub follow: bool,
    /// A timeout that may be reached; otherwise one that never is.
    pub short: Option<Duration>,
    /// Bytes of an additional parameter.
    pub size: usize,
    /// How many transmissions find their connection reset after it was looked at and before
    /// their first byte.
    pub resets: usize,
}

impl Plan {
    pub fn of(seed: u64) -> Self {
        let mut rng = Rng::new(seed, 1);
        let https = rng.chance(400);
        let threads = if rng.chance(150) { 2 } else { 1 };
        let mut id = 0;
        let threads = (0..threads)
            .map(|_| {
                (0..1 + rng.below(4))
                    .map(|_| {
                        id += 1;
                        send(&mut rng, id, https, threads == 1)
                    })
                    .collect()
            })
            .collect();
        Plan {
            seed,
            https,
            tls12: rng.chance(300),
            proxied: rng.chance(500),
            threads,
            script: Vec::new(),
        }
    }

    /// A world that does this to one send, the second one if a connection is to be idle.
    pub fn of_script(seed: u64, flags: Flags, script: &[Item]) -> Self {
        let send = |id, flags: Flags| SendPlan {
            id,
            signed: true,
            idempotent: flags.idempotent,
            retries: flags.retries,
            follow: true,
            short: None,
            size: 0,
            resets: 0,
        };
        let first = flags.warm.then(|| send(1, Flags::default()));
        Plan {
            seed,
            https: script.contains(&Item::Absent),
            tls12: false,
            proxied: true,
            threads: vec![first.into_iter().chain([send(2, flags)]).collect()],
            script: script.to_vec(),
        }
    }

    /// What is done to this transmission, if a script says so.
    pub fn item(&self, id: usize, at: usize) -> Option<Item> {
        let last = self.threads.last().and_then(|sends| sends.last());
        let is_last = last.is_some_and(|send| send.id == id);
        let none = self.script.is_empty();
        let end = Item::Do(How::Execute(200), true);
        let item = self.script.get(at).filter(|_| is_last).copied();
        (!none).then(|| item.unwrap_or(end))
    }

    /// Whether a single thread sends, so that whatever happens belongs to its present send,
    /// and the server can act between two sends.
    pub fn is_calm(&self) -> bool {
        self.threads.len() == 1
    }

    pub fn send(&self, id: usize) -> &SendPlan {
        let mut all = self.threads.iter().flatten();
        all.find(|send| send.id == id).expect("a known id")
    }

    /// What the server does to a connection of a world without a script.
    pub fn meeting(&self, number: usize, short: bool) -> Meeting {
        let mut rng = Rng::new(self.seed, 1_000_000 + number as u64);
        if !self.is_calm() || rng.chance(930) {
            return Meeting::Welcome;
        }
        let mut all = vec![Meeting::Drop(End::Fin), Meeting::Drop(End::Reset)];
        if self.https {
            all.extend([Meeting::BreakHandshake, Meeting::ResetAfterHandshake]);
            if self.proxied {
                all.extend([407, 502].map(Meeting::RefuseTunnel));
            }
        }
        if short {
            all.push(Meeting::Stall);
        }
        rng.pick(&all)
    }

    /// What the server does to a copy of a send.
    ///
    /// * `at`: how many transmissions came before it.
    /// * `number`: how many of them arrived.
    pub fn act(&self, id: usize, at: usize, number: usize) -> Act {
        if let Some(item) = self.item(id, at) {
            let (how, executes) = match item {
                Item::Do(how, executes) => (how, executes),
                Item::Absent => (How::Execute(200), true),
            };
            // Whoever will not be there cannot keep a connection.
            let leaves = self.item(id, at + 1) == Some(Item::Absent);
            return Act {
                how,
                executes,
                notes_nonce: false,
                frame: Frame::Length,
                after: if leaves {
                    After::SaysClose
                } else {
                    After::Keep
                },
                interim: 0,
                retry_after: false,
            };
        }
        let send = self.send(id);
        let stream = 2_000_000 + id as u64 * 1000 + number as u64;
        let mut rng = Rng::new(self.seed, stream);
        let end = rng.pick(&[End::Fin, End::Abrupt, End::Reset]);
        let how = match rng.below(100) {
            0..45 => How::Execute(rng.pick(&[200, 200, 200, 200, 503, 500])),
            45..52 => How::CloseAtBody(end),
            52..55 => How::CloseAtHead(end),
            55 => How::Garble,
            56..60 => How::Cut(rng.below(1000), end),
            60..80 => {
                let code = rng.pick(&[
                    403_048, 403_048, 301_001, 500_001, 504_001, 409_030, 400_006, 403_005,
                ]);
                let status = match code {
                    403_048 => rng.pick(&[200, 200, 429, 503]),
                    500_001 => rng.pick(&[200, 500, 503]),
                    400_006 => rng.pick(&[200, 400, 429]),
                    _ => 200,
                };
                How::Answer(code, status)
            }
            80..86 => How::MoveClock(rng.pick(&[-20, -5, -1, 1, 3, 20])),
            86..95 => How::Page(rng.pick(&[429, 429, 503, 503, 502, 204, 304, 302, 307, 200])),
            _ if send.short.is_some() => How::Stall {
                at_head: rng.chance(300),
            },
            _ => How::Execute(200),
        };
        let how = if send.size > 100_000 && rng.chance(500) {
            How::Early(rng.pick(&[400_006, 403_048]), rng.chance(500))
        } else {
            how
        };
        let frame = match rng.below(12) {
            0 | 1 => Frame::Chunked,
            2 => Frame::UntilEnd(rng.pick(&[End::Fin, End::Fin, End::Abrupt])),
            3 => Frame::Http10,
            4 => Frame::Bytewise,
            5 => Frame::Twice,
            _ => Frame::Length,
        };
        let after = match rng.below(20) {
            0 => After::SaysClose,
            1 | 2 if self.is_calm() => After::Close(end),
            3 | 4 if self.is_calm() => After::Stray,
            5 if self.is_calm() => After::RequestTimeout,
            _ => After::Keep,
        };
        Act {
            how,
            executes: rng.chance(600),
            notes_nonce: rng.chance(300),
            frame,
            after,
            interim: if rng.chance(150) { 1 + rng.below(3) } else { 0 },
            retry_after: rng.chance(30),
        }
    }
}

fn send(rng: &mut Rng, id: usize, https: bool, calm: bool) -> SendPlan {
    let retries = match rng.below(100) {
        0..5 => 1,
        5..7 => 2,
        _ => 0,
    };
    // Pauses between retries cost a second or more: most timeouts leave no time for one.
    let short = rng.chance(250).then(|| {
        let most = if retries > 0 { 1800 } else { 300 };
        Duration::from_millis(100 + rng.below(most) as u64)
    });
    SendPlan {
        id,
        signed: !https || rng.chance(700),
        idempotent: rng.chance(if retries > 0 { 750 } else { 300 }),
        retries,
        follow: rng.chance(500),
        short,
        size: match rng.below(1000) {
            0..8 => 4_000_000,
            8..30 => 200_000,
            _ => 0,
        },
        resets: match rng.below(100) {
            0..3 if calm => 1,
            3 if calm => 2,
            _ => 0,
        },
    }
}

/// How the send of a script is made.
#[derive(Clone, Copy, Debug, Default)]
pub struct Flags {
    /// Whether a connection is idle by then.
    pub warm: bool,
    pub idempotent: bool,
    pub retries: u32,
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum End {
    /// Properly; over TLS with a closure alert.
    Fin,
    /// Over TLS without one; in plain as `Fin`.
    Abrupt,
    Reset,
}

/// What the server does to a connection before any request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Meeting {
    Welcome,
    /// Closes it at once.
    Drop(End),
    /// Refuses CONNECT with this status.
    RefuseTunnel(u16),
    /// Sends nonsense instead of its part of the handshake.
    BreakHandshake,
    /// Resets it right after the handshake.
    ResetAfterHandshake,
    /// Does nothing, not even a handshake.
    Stall,
}

/// What the server does to a copy.
#[derive(Clone, Debug)]
pub struct Act {
    pub how: How,
    /// Whether a copy is executed that is not answered by the API with a code that says so.
    pub executes: bool,
    /// Whether its nonce counts as seen although it was not executed.
    pub notes_nonce: bool,
    pub frame: Frame,
    pub after: After,
    /// How many interim answers come while the body is on its way, and before the answer.
    pub interim: usize,
    pub retry_after: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum How {
    /// Executes it and answers 0, with this HTTP status.
    Execute(u16),
    /// Closes when the headers have come, or the whole.
    CloseAtHead(End),
    CloseAtBody(End),
    /// Sends what neither TLS nor HTTP can read.
    Garble,
    /// Sends this part of the answer in a thousand, and closes.
    Cut(usize, End),
    /// Answers with this code and HTTP status.
    Answer(i64, u16),
    /// Its clock jumps to so many hours from ours; then as `Execute`.
    MoveClock(i64),
    /// Answers with this status, and nothing that is the API's.
    Page(u16),
    /// Refuses with this code when the headers have come; then keeps the connection and does
    /// nothing, or reads the body and goes on.
    Early(i64, bool),
    /// Reads it, or its headers alone, and never answers.
    Stall {
        at_head: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Frame {
    Length,
    Chunked,
    /// A body without a length, which ends with the connection.
    UntilEnd(End),
    Http10,
    /// One byte at a time.
    Bytewise,
    /// Another answer right behind it, in the same packet.
    Twice,
}

/// What happens to the connection behind the answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum After {
    Keep,
    /// The answer says `Connection: close`, and the server keeps it open all the same.
    SaysClose,
    Close(End),
    /// Another answer, a little later.
    Stray,
    /// `408 Request Timeout`, a little later.
    RequestTimeout,
}
