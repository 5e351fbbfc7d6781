//! Cuts a stream of JPEG pictures into single ones, whatever stands between them.

use crate::vision::frame::jpeg::{Extent, Scanner};

/// Most bytes that one picture may have; a stream that goes on without an end is broken, not big.
pub const MAX_PICTURE: usize = 8 << 20;

/// What was cut from the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A picture from its start to its end marker.
    Picture(Vec<u8>),
    /// The beginning of a picture that cannot be completed, and why.
    Torn(String),
}

/// Collects bytes and hands out pictures. Bytes before a start marker (multipart headers, padding) are skipped.
#[derive(Debug, Default)]
pub struct Splitter {
    buffer: Vec<u8>,
    scanner: Scanner,
    /// Whether `buffer` begins with a start marker.
    inside: bool,
    skipped: usize,
}

impl Splitter {
    /// Takes the next bytes of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next picture, if all of it is there.
    ///
    /// # Errors
    /// More than [`MAX_PICTURE`] bytes came without a whole picture; the stream is of no use.
    pub fn take(&mut self) -> Result<Option<Piece>, String> {
        if !self.inside {
            let begin = find_start(&self.buffer);
            self.skipped += begin;
            self.buffer.drain(..begin);
            self.inside = self.buffer.starts_with(&[0xFF, 0xD8, 0xFF]);
            self.scanner = Scanner::default();
            if !self.inside {
                return match self.skipped {
                    n if n > MAX_PICTURE => Err(format!("{n} bytes came without the start of a JPEG picture")),
                    _ => Ok(None),
                };
            }
        }
        match self.scanner.advance(&self.buffer) {
            Extent::Whole(n) => {
                let rest = self.buffer.split_off(n);
                (self.inside, self.skipped) = (false, 0);
                Ok(Some(Piece::Picture(std::mem::replace(&mut self.buffer, rest))))
            }
            Extent::More if self.buffer.len() > MAX_PICTURE => {
                Err(format!("a JPEG picture did not end within {MAX_PICTURE} bytes"))
            }
            Extent::More => Ok(None),
            Extent::Broken(why) => {
                // The search goes on where it broke: earlier start markers are those of thumbnails inside of segments.
                self.buffer.drain(..self.scanner.position().max(2));
                self.inside = false;
                Ok(Some(Piece::Torn(why.into())))
            }
        }
    }

    /// Whether part of a picture is waiting for its end.
    #[must_use]
    pub fn unfinished(&self) -> bool {
        self.inside
    }

    /// Bytes that wait in the buffer.
    #[must_use]
    pub fn held(&self) -> usize {
        self.buffer.len()
    }
}

/// Where the first start marker is, or where one may begin at the very end.
fn find_start(bytes: &[u8]) -> usize {
    if let Some(at) = bytes.windows(3).position(|w| w == [0xFF, 0xD8, 0xFF]) {
        return at;
    }
    match bytes {
        [.., 0xFF, 0xD8] => bytes.len() - 2,
        [.., 0xFF] => bytes.len() - 1,
        _ => bytes.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(tag: u8) -> Vec<u8> {
        // An APP segment that holds a whole thumbnail comes first.
        let mut p = vec![0xFF, 0xD8, 0xFF, 0xE1, 0, 8, 0xFF, 0xD8, 0xFF, 2, 0xFF, 0xD9];
        p.extend([0xFF, 0xDA, 0, 4, 1, tag, tag, 0xFF, 0, tag, 0xFF, 0xD9]);
        p
    }

    fn pieces(chunks: impl IntoIterator<Item = Vec<u8>>) -> Vec<Piece> {
        let mut s = Splitter::default();
        let mut out = Vec::new();
        for chunk in chunks {
            s.push(&chunk);
            while let Some(p) = s.take().expect("a usable stream") {
                out.push(p);
            }
        }
        out
    }

    #[test]
    fn pictures_are_the_same_however_the_stream_was_cut() {
        let stream =
            [picture(1), b"\r\n--part\r\nContent-Type: image/jpeg\r\n\r\n".to_vec(), picture(2), picture(3)].concat();
        let want: Vec<Piece> = (1..=3).map(|t| Piece::Picture(picture(t))).collect();
        for size in [1, 2, 3, 7, 64, stream.len()] {
            assert_eq!(pieces(stream.chunks(size).map(<[u8]>::to_vec)), want, "in chunks of {size}");
        }
    }

    #[test]
    fn a_torn_picture_is_told_and_the_next_one_is_whole() {
        let mut stream = picture(1);
        stream.truncate(stream.len() - 3);
        stream.extend(picture(2));
        let got = pieces([stream]);
        assert!(matches!(&got[0], Piece::Torn(why) if why.contains("another picture")), "{got:?}");
        assert_eq!(got[1..], [Piece::Picture(picture(2))], "and no thumbnail of the torn one");
    }

    #[test]
    fn a_picture_without_an_end_is_an_error_and_the_buffer_stays_bounded() {
        let mut s = Splitter::default();
        s.push(&[0xFF, 0xD8, 0xFF, 0xDA, 0, 2]);
        let failed = (0..).find_map(|n| {
            s.push(&[1; 65536]);
            s.take().err().map(|e| (n, e))
        });
        let (chunks, why) = failed.expect("it ends");
        assert!(chunks <= MAX_PICTURE / 65536 && s.held() <= MAX_PICTURE + 65536, "{chunks}: {why}");
    }

    #[test]
    fn garbage_is_not_kept_and_ends_in_an_error() {
        let mut s = Splitter::default();
        let failed = (0..1000).find_map(|_| {
            s.push(&[b'x'; 65536]);
            assert!(s.held() <= 65536);
            s.take().err()
        });
        assert!(failed.expect("it ends").contains("without the start"));
    }
}
