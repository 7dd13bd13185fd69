//! DEFLATE (RFC 1951), read bit by bit, with a window that is exactly as large as was agreed.

/// Inflates the messages of a server.
pub(crate) struct Strict {
    window: usize,
    takes_over: bool,
    /// Everything since the context began.
    history: Vec<u8>,
    /// The longest way back that was gone.
    pub(crate) farthest: usize,
}

struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn bit(&mut self) -> usize {
        let bit = self.bytes[self.at / 8] >> (self.at % 8) & 1;
        self.at += 1;
        usize::from(bit)
    }

    /// A number, its lowest bit first.
    fn number(&mut self, bits: usize) -> usize {
        (0..bits).fold(0, |number, at| number | self.bit() << at)
    }

    fn is_at_end(&self) -> bool {
        self.at == self.bytes.len() * 8
    }
}

/// A Huffman code, as section 3.2.2 builds it from the lengths of its symbols.
struct Code {
    /// For each length, its codes, which are consecutive, and where its symbols begin.
    lengths: [(std::ops::Range<usize>, usize); 16],
    symbols: Vec<usize>,
}

impl Code {
    fn new(of_symbols: &[usize]) -> Self {
        let mut symbols = Vec::new();
        let mut next = 0;
        let lengths = std::array::from_fn(|length| {
            let start = symbols.len();
            let has_length = |symbol: &usize| length > 0 && of_symbols[*symbol] == length;
            symbols.extend((0..of_symbols.len()).filter(has_length));
            let first = next * 2;
            next = first + symbols.len() - start;
            (first..next, start)
        });
        Self { lengths, symbols }
    }

    fn symbol(&self, bits: &mut Bits<'_>) -> usize {
        let mut code = 0;
        for (codes, start) in &self.lengths[1..] {
            code = code * 2 + bits.bit();
            if codes.contains(&code) {
                return self.symbols[start + code - codes.start];
            }
        }
        panic!("no such code");
    }
}

/// Extra bits and bases of the length symbols from 257 on, and of the distances (section 3.2.5).
fn length(symbol: usize, bits: &mut Bits<'_>) -> usize {
    match symbol {
        257..=264 => symbol - 254,
        285 => 258,
        265..=284 => {
            let extra = (symbol - 261) / 4;
            ((4 + (symbol - 265) % 4) << extra) + 3 + bits.number(extra)
        }
        _ => panic!("length symbol {symbol}"),
    }
}

fn distance(symbol: usize, bits: &mut Bits<'_>) -> usize {
    match symbol {
        0..=3 => symbol + 1,
        4..=29 => {
            let extra = symbol / 2 - 1;
            ((2 + symbol % 2) << extra) + 1 + bits.number(extra)
        }
        _ => panic!("distance symbol {symbol}"),
    }
}

const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

impl Strict {
    pub(crate) fn new(window_bits: u8, takes_over: bool) -> Self {
        Self { window: 1 << window_bits, takes_over, history: Vec::new(), farthest: 0 }
    }

    /// The message of a compressed frame's payload (RFC 7692 section 7.2.2).
    pub(crate) fn message(&mut self, payload: &[u8]) -> Vec<u8> {
        if !self.takes_over {
            self.history.clear();
        }
        let start = self.history.len();
        let bytes = [payload, &[0x00, 0x00, 0xff, 0xff]].concat();
        let mut bits = Bits { bytes: &bytes, at: 0 };
        while !bits.is_at_end() {
            assert_eq!(bits.bit(), 0, "BFINAL is for the end of the connection");
            match bits.number(2) {
                0 => self.stored(&mut bits),
                1 => {
                    let literal = |symbol| match symbol {
                        0..=143 => 8,
                        144..=255 => 9,
                        256..=279 => 7,
                        _ => 8,
                    };
                    let literals: Vec<_> = (0..288).map(literal).collect();
                    self.coded(&Code::new(&literals), &Code::new(&[5; 30]), &mut bits);
                }
                2 => {
                    let (literals, distances) = codes(&mut bits);
                    self.coded(&literals, &distances, &mut bits);
                }
                other => panic!("block type {other}"),
            }
        }
        self.history[start..].to_vec()
    }

    fn stored(&mut self, bits: &mut Bits<'_>) {
        bits.at = bits.at.next_multiple_of(8);
        let length = bits.number(16);
        assert_eq!(bits.number(16), length ^ 0xffff);
        let at = bits.at / 8;
        self.history.extend_from_slice(&bits.bytes[at..at + length]);
        bits.at += length * 8;
    }

    fn coded(&mut self, literals: &Code, distances: &Code, bits: &mut Bits<'_>) {
        loop {
            match literals.symbol(bits) {
                literal @ 0..=255 => self.history.push(literal as u8),
                256 => return,
                symbol => {
                    let length = length(symbol, bits);
                    let distance = distance(distances.symbol(bits), bits);
                    assert!(distance <= self.window, "{distance} in {}", self.window);
                    assert!(distance <= self.history.len(), "before the beginning");
                    self.farthest = self.farthest.max(distance);
                    let start = self.history.len() - distance;
                    (start..start + length).for_each(|at| self.history.push(self.history[at]));
                }
            }
        }
    }
}

/// The codes of a dynamic block (section 3.2.7).
fn codes(bits: &mut Bits<'_>) -> (Code, Code) {
    let (literals, distances) = (bits.number(5) + 257, bits.number(5) + 1);
    let mut lengths = [0; 19];
    let count = bits.number(4) + 4;
    ORDER[..count].iter().for_each(|symbol| lengths[*symbol] = bits.number(3));
    let code = Code::new(&lengths);
    let mut lengths = Vec::new();
    while lengths.len() < literals + distances {
        let (length, times) = match code.symbol(bits) {
            16 => (*lengths.last().unwrap(), 3 + bits.number(2)),
            17 => (0, 3 + bits.number(3)),
            18 => (0, 11 + bits.number(7)),
            length => (length, 1),
        };
        lengths.extend(vec![length; times]);
    }
    (Code::new(&lengths[..literals]), Code::new(&lengths[literals..]))
}
