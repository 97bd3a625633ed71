//! A fuzzer's bytes, taken piece by piece.
//!
//! Owns nothing but the place where it stands. At the end of the bytes every number is 0 and every text is empty, so that a short input is a short run.

/// What is left of an input.
pub(crate) struct Input<'d>(pub &'d [u8]);

impl<'d> Input<'d> {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn byte(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or(0)
    }

    pub fn number(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    /// So many, or what there is.
    pub fn bytes(&mut self, count: usize) -> &'d [u8] {
        let (taken, left) = self.0.split_at(count.min(self.0.len()));
        self.0 = left;
        taken
    }

    /// As many as the next byte says.
    pub fn text(&mut self) -> &'d [u8] {
        let count = self.byte();
        self.bytes(count.into())
    }
}
