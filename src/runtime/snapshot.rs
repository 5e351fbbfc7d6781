//! A picture of now, for whoever may ask: the watch thread hands one frame over and goes on; a thread of its own decodes,
//! turns and encodes it.

use crate::adapters::mqtt::Outbox;
use crate::ports::Reply;
use crate::schema::command::{Answer, CommandError};
use crate::vision::decode::{Limits, decode};
use crate::vision::frame::{Frame, Picture};
use image::codecs::jpeg::JpegEncoder;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A camera that gives no frame for so long gives none.
const PATIENCE: Duration = Duration::from_secs(2);
/// Longest side in pixels: enough to see who is there, and some fifty kilobytes.
const LONGEST: u32 = 800;
const QUALITY: u8 = 80;
/// Steps of niceness below the door's threads.
const NICE: i32 = 10;

/// Between whoever wants a picture and the thread that has the frames. One picture is made at a time.
#[derive(Clone, Debug, Default)]
pub struct Shutter(Arc<Mutex<Option<SyncSender<Frame>>>>);

impl Shutter {
    /// Hands the frame over if one is wanted. Never waits.
    pub fn expose(&self, frame: &Frame) {
        // Whoever holds it sets it this very moment: the next frame will do.
        if let Ok(mut wanted) = self.0.try_lock()
            && let Some(out) = wanted.take()
        {
            let _nobody_waits_any_more = out.try_send(frame.clone());
        }
    }

    fn wanted(&self) -> MutexGuard<'_, Option<SyncSender<Frame>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wants the next frame; `None` while another is wanted.
    fn press(&self) -> Option<Receiver<Frame>> {
        let mut wanted = self.wanted();
        if wanted.is_some() {
            return None;
        }
        let (tx, rx) = sync_channel(1);
        *wanted = Some(tx);
        Some(rx)
    }

    fn release(&self) {
        *self.wanted() = None;
    }

    /// Publishes a picture of now and tells `reply`, with `answer` as it is but for what became of it. Returns at once.
    pub fn publish(&self, outbox: &Outbox, mut answer: Answer, mut reply: Reply) {
        let Some(frame) = self.press() else {
            answer.error = Some(CommandError::Busy);
            return reply(answer);
        };
        let (shutter, outbox) = (self.clone(), outbox.clone());
        let life = move || {
            if let Err(e) = rustix::process::nice(NICE) {
                tracing::debug!(error = %e, "a picture is made at the door's priority");
            }
            let frame = frame.recv_timeout(PATIENCE);
            shutter.release();
            let done = frame
                .map_err(|_| "the camera gave no frame".to_owned())
                .and_then(|f| picture(&f))
                .and_then(|jpeg| outbox.picture(jpeg).then_some(()).ok_or_else(|| "no broker takes it".to_owned()));
            match done {
                Ok(()) => (answer.ok, answer.error) = (true, None),
                Err(why) => {
                    tracing::warn!(why, "a picture was asked for and could not be given");
                    answer.error = Some(CommandError::Failed);
                }
            }
            reply(answer);
        };
        if let Err(e) = std::thread::Builder::new().name("snapshot".into()).spawn(life) {
            self.release();
            tracing::error!(error = %e, "no thread for a picture");
        }
    }
}

/// The frame upright, at most [`LONGEST`] pixels a side, as a JPEG of its own: nothing that the camera wrote beside the
/// pixels goes along.
fn picture(frame: &Frame) -> Result<Vec<u8>, String> {
    let full = decode(frame, &Limits::default()).map_err(|e| e.to_string())?;
    let longest = full.width.max(full.height).max(1);
    let small = if longest > LONGEST {
        let side = |s: u32| (u64::from(s) * u64::from(LONGEST) / u64::from(longest)).max(1);
        let fit = |s: u32| u32::try_from(side(s)).unwrap_or(LONGEST);
        full.resized(fit(full.width), fit(full.height))
    } else {
        full
    };
    let Picture { width, height, rgb } = small;
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, QUALITY)
        .encode(&rgb, width, height, image::ExtendedColorType::Rgb8)
        .map_err(|e| e.to_string())?;
    Ok(jpeg)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Tick;
    use crate::vision::decode::decode_file;
    use crate::vision::frame::{PixelFormat, Rotation};

    fn frame(seq: u64, rotation: Rotation) -> Frame {
        Frame {
            seq,
            captured: Tick::ZERO,
            epoch: 0,
            format: PixelFormat::Rgb,
            width: 1600,
            height: 1200,
            rotation,
            data: vec![90; 1600 * 1200 * 3],
        }
    }

    #[test]
    fn a_picture_is_upright_and_no_bigger_than_it_need_be() {
        for (rotation, size) in [(Rotation::None, (800, 600)), (Rotation::Cw90, (600, 800))] {
            let jpeg = picture(&frame(1, rotation)).expect("a picture");
            let read = decode_file(&jpeg, &Limits::default()).expect("a JPEG");
            assert_eq!((read.width, read.height), size);
        }
        assert!(picture(&Frame { data: vec![1, 2, 3], ..frame(1, Rotation::None) }).is_err());
    }

    #[test]
    fn one_frame_is_handed_over_for_each_time_that_one_is_wanted() {
        let shutter = Shutter::default();
        shutter.expose(&frame(1, Rotation::None));
        let wanted = shutter.press().expect("nobody else wants one");
        assert!(shutter.press().is_none(), "one at a time");
        (2..5).for_each(|n| shutter.expose(&frame(n, Rotation::None)));
        assert_eq!(wanted.try_iter().map(|f| f.seq).collect::<Vec<_>>(), [2]);
        let unseen = shutter.press().expect("free again");
        shutter.release();
        shutter.expose(&frame(9, Rotation::None));
        assert!(unseen.try_recv().is_err());
    }
}
