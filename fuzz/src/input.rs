//! Reading an input.

const MOST_REPEATED: usize = 25_000;

/// The bytes of an input that have not been read yet.
pub(crate) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn new(data: &'a [u8]) -> Self {
        Self(data)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    /// Two bytes, the first one being the lower.
    pub(crate) fn number(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    /// One of these.
    pub(crate) fn choose<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::from(self.byte()) % choices.len()]
    }

    /// Next bytes, so many or those that are left.
    pub(crate) fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// A length, and that many bytes.
    pub(crate) fn counted(&mut self) -> &'a [u8] {
        let len = usize::from(self.byte());
        self.take(len)
    }

    /// All that is left.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    /// All that is left, with up to three of its bytes repeated thousands of times: so a small
    /// input can hold a large payload, and one whose length needs more than 16 bits.
    pub(crate) fn swollen(&mut self) -> Vec<u8> {
        let count = self.byte() % 4;
        let swellings: Vec<_> = (0..count).map(|_| (self.number(), self.number())).collect();
        let mut bytes = self.rest().to_vec();
        for (at, times) in swellings {
            if !bytes.is_empty() {
                let at = usize::from(at) % bytes.len();
                let run = vec![bytes[at]; usize::from(times) % MOST_REPEATED];
                bytes.splice(at..at, run);
            }
        }
        bytes
    }
}
