//! Where a JPEG picture ends and what its header claims, without decoding it.
//!
//! Searching for the bytes `FF D8` and `FF D9` is not enough: a thumbnail in an APP segment has both. So the segments
//! are walked by their lengths, and only the entropy-coded data after a start of scan is searched.

/// What the bytes from a picture's beginning hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// A whole picture of so many bytes, from its start to its end marker.
    Whole(usize),
    /// No end yet; more bytes may bring it.
    More,
    /// No continuation can make this a picture.
    Broken(&'static str),
}

/// Finds the end of one picture, also when its bytes come in pieces: each call goes on where the last one stopped.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scanner {
    at: usize,
    entropy: bool,
}

impl Scanner {
    /// How far the bytes have been understood: where [`Extent::Broken`] was found. Whatever an understood segment
    /// holds, a thumbnail for example, lies before it.
    #[must_use]
    pub fn position(&self) -> usize {
        self.at
    }

    /// `bytes` begin with the picture; between calls they may only grow at their end.
    pub fn advance(&mut self, bytes: &[u8]) -> Extent {
        if self.at == 0 {
            match bytes {
                [0xFF, 0xD8, ..] => self.at = 2,
                [] | [0xFF] => return Extent::More,
                _ => return Extent::Broken("no start marker"),
            }
        }
        loop {
            if self.entropy {
                match bytes[self.at..].iter().position(|&b| b == 0xFF) {
                    Some(n) => self.at += n,
                    None => {
                        self.at = bytes.len();
                        return Extent::More;
                    }
                }
            }
            let (Some(&first), Some(&marker)) = (bytes.get(self.at), bytes.get(self.at + 1)) else {
                return match bytes.get(self.at) {
                    Some(&b) if b != 0xFF => Extent::Broken("bytes between two segments"),
                    _ => Extent::More,
                };
            };
            if first != 0xFF {
                return Extent::Broken("bytes between two segments");
            }
            match marker {
                0xFF => self.at += 1,
                // A stuffed byte or a restart inside of the scan.
                0x00 | 0xD0..=0xD7 if self.entropy => self.at += 2,
                0x01 => self.at += 2,
                0xD9 => return Extent::Whole(self.at + 2),
                0x00 | 0xD0..=0xD7 => return Extent::Broken("a marker that has no place between segments"),
                0xD8 => return Extent::Broken("another picture begins before this one ends"),
                _ => {
                    let (Some(&hi), Some(&lo)) = (bytes.get(self.at + 2), bytes.get(self.at + 3)) else {
                        return Extent::More;
                    };
                    let len = usize::from(u16::from_be_bytes([hi, lo]));
                    if len < 2 {
                        return Extent::Broken("a segment shorter than its own length field");
                    }
                    if bytes.len() < self.at + 2 + len {
                        return Extent::More;
                    }
                    self.at += 2 + len;
                    self.entropy = marker == 0xDA;
                }
            }
        }
    }
}

/// The extent of the picture that `bytes` begin with.
#[must_use]
pub fn extent(bytes: &[u8]) -> Extent {
    Scanner::default().advance(bytes)
}

/// What the frame header claims; nothing of it is proven by the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub width: u32,
    pub height: u32,
    pub components: u32,
    /// Whether a decoder must keep all coefficients: progressive, or the components come in several scans.
    pub buffered: bool,
    /// Samples a pixel over all components, times 64: 192 for 4:4:4, 96 for 4:2:0, 64 for grey.
    pub samples_64: u32,
}

/// Reads the segments up to the first scan.
///
/// # Errors
/// What is wrong or missing.
pub fn head(bytes: &[u8]) -> Result<Head, &'static str> {
    if !bytes.starts_with(&[0xFF, 0xD8]) {
        return Err("no start marker");
    }
    let mut at = 2;
    let mut found: Option<Head> = None;
    loop {
        let (Some(&first), Some(&marker)) = (bytes.get(at), bytes.get(at + 1)) else {
            return Err("it ends inside of its header");
        };
        if first != 0xFF {
            return Err("bytes between two segments");
        }
        if marker == 0xFF {
            at += 1;
            continue;
        }
        if marker == 0x01 {
            at += 2;
            continue;
        }
        let body = bytes
            .get(at + 2..at + 4)
            .map(|l| usize::from(u16::from_be_bytes([l[0], l[1]])))
            .and_then(|len| bytes.get(at + 4..(at + 2).checked_add(len)?))
            .ok_or("it ends inside of its header")?;
        match marker {
            0xC0..=0xCF if !matches!(marker, 0xC4 | 0xC8 | 0xCC) => found = Some(frame_header(marker, body)?),
            0xDA => {
                let mut head = found.ok_or("a scan before the frame header")?;
                let in_scan = u32::from(*body.first().ok_or("an empty scan header")?);
                head.buffered |= in_scan < head.components;
                return Ok(head);
            }
            _ => {}
        }
        at += 4 + body.len();
    }
}

fn frame_header(marker: u8, body: &[u8]) -> Result<Head, &'static str> {
    let &[_precision, h1, h0, w1, w0, count, ref parts @ ..] = body else {
        return Err("a frame header that is too short");
    };
    let parts = parts.get(..usize::from(count) * 3).ok_or("a frame header that is too short")?;
    let sampling: Vec<(u32, u32)> =
        parts.chunks_exact(3).map(|c| (u32::from(c[1] >> 4).max(1), u32::from(c[1] & 15).max(1))).collect();
    let most = sampling.iter().map(|s| s.0).max().zip(sampling.iter().map(|s| s.1).max());
    let (h_max, v_max) = most.ok_or("a frame header without components")?;
    Ok(Head {
        width: u32::from(u16::from_be_bytes([w1, w0])),
        height: u32::from(u16::from_be_bytes([h1, h0])),
        components: u32::from(count),
        buffered: matches!(marker, 0xC2 | 0xC6 | 0xCA | 0xCE),
        samples_64: sampling.iter().map(|(h, v)| (h * v * 64).div_ceil(h_max * v_max)).sum(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Start, an APP1 segment that holds a whole thumbnail, a frame header of 32x16 4:2:0, a scan with a stuffed byte
    /// and a restart, end.
    fn picture() -> Vec<u8> {
        let mut p = vec![0xFF, 0xD8];
        p.extend([0xFF, 0xE1, 0, 8, 0xFF, 0xD8, 1, 2, 0xFF, 0xD9]);
        p.extend([0xFF, 0xC0, 0, 17, 8, 0, 16, 0, 32, 3, 1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1]);
        p.extend([0xFF, 0xDA, 0, 12, 3, 1, 0, 2, 0x11, 3, 0x11, 0, 63, 0]);
        p.extend([7, 0xFF, 0x00, 8, 0xFF, 0xD0, 9, 0xFF, 0xD9]);
        p
    }

    #[test]
    fn a_thumbnail_inside_of_a_segment_does_not_end_the_picture() {
        let mut bytes = picture();
        let whole = bytes.len();
        bytes.extend([0, 0, 0]);
        assert_eq!(extent(&bytes), Extent::Whole(whole));
    }

    #[test]
    fn a_picture_that_comes_byte_by_byte_is_found_at_its_last_byte() {
        let bytes = picture();
        let mut scanner = Scanner::default();
        for n in 0..bytes.len() {
            assert_eq!(scanner.advance(&bytes[..n]), Extent::More, "after {n} bytes");
        }
        assert_eq!(scanner.advance(&bytes), Extent::Whole(bytes.len()));
    }

    #[test]
    fn a_second_start_inside_of_a_scan_is_a_torn_picture() {
        let mut torn = picture();
        torn.truncate(torn.len() - 2);
        torn.extend(picture());
        assert_eq!(extent(&torn), Extent::Broken("another picture begins before this one ends"));
    }

    #[test]
    fn the_header_tells_size_and_sampling() {
        let head = head(&picture()).expect("a whole header");
        assert_eq!((head.width, head.height, head.components, head.buffered, head.samples_64), (32, 16, 3, false, 96));
    }

    #[test]
    fn a_header_cut_anywhere_is_an_error() {
        let bytes = picture();
        let scan_begins = bytes.len() - 9;
        for n in 0..scan_begins {
            assert!(head(&bytes[..n]).is_err(), "{n} bytes");
        }
        assert!(head(&bytes[..scan_begins]).is_ok());
    }
}
