//! HDMI and DSI displays through the kernel's dumb buffers: memory of the display that a program writes, without a
//! graphics processor and without a desktop.

use super::frame::{Board, Framed, Layout, failed};
use crate::adapters::prompt::texts;
use crate::adapters::prompt::threaded::Display;
use crate::config::sections::PromptConfig;
use crate::ports::PortError;
use ::drm::buffer::{Buffer, DrmFourcc};
use ::drm::control::dumbbuffer::DumbBuffer;
use ::drm::control::{ClipRect, Device as Control, Mode, ModeTypeFlags, connector, crtc, framebuffer};
use std::fs::{File, OpenOptions};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

/// Whether this build can open displays.
///
/// # Errors
/// Never: it can.
pub fn built_in(_: &PromptConfig) -> Result<(), PortError> {
    Ok(())
}

/// Opens the configured card, or the first that has a display.
///
/// # Errors
/// There is none, or it is not ours to use.
pub fn open(config: &PromptConfig) -> Result<Box<dyn Display>, PortError> {
    let cards = config.drm.card.as_ref().map_or_else(cards, |card| vec![card.clone()]);
    let mut told = Vec::new();
    for card in &cards {
        match Plugged::open(card) {
            Ok(board) => {
                let (width, height) = board.mode.size();
                let layout = Layout::new(width.into(), height.into(), config.drm.rotate);
                tracing::info!(display = board.name(), width, height, "a display is plugged in");
                let column = texts::column(&config.language).unwrap_or(0);
                return Ok(Box::new(Framed::new(board, layout, column)));
            }
            Err(e) => told.push(format!("{}: {e}", card.display())),
        }
    }
    let cause = if told.is_empty() { "there is no /dev/dri/card*".to_owned() } else { told.join("; ") };
    Err(failed("an HDMI or DSI display", &cause))
}

/// Every card, the lowest number first. (On a Raspberry Pi the one with the plug is not always card0.)
fn cards() -> Vec<PathBuf> {
    let files = std::fs::read_dir("/dev/dri").into_iter().flatten().flatten().map(|f| f.path());
    let is_card = |p: &PathBuf| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with("card"));
    let mut cards: Vec<PathBuf> = files.filter(is_card).collect();
    cards.sort();
    cards
}

/// A card's device.
#[derive(Debug)]
struct Card(File);

impl AsFd for Card {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl ::drm::Device for Card {}
impl Control for Card {}

/// A connector with a display, and the memory that it shows. All of it goes when the card is closed.
struct Plugged {
    card: Card,
    name: String,
    connector: connector::Handle,
    crtc: crtc::Handle,
    mode: Mode,
    buffer: DumbBuffer,
    frame: framebuffer::Handle,
}

impl Plugged {
    fn open(path: &Path) -> Result<Plugged, String> {
        let told = |what: &'static str| move |e: std::io::Error| format!("{what}: {e}");
        let card = Card(OpenOptions::new().read(true).write(true).open(path).map_err(told("open it"))?);
        let all = card.resource_handles().map_err(told("ask for its connectors"))?;
        let plugged = all.connectors().iter().filter_map(|c| card.get_connector(*c, true).ok());
        let found = plugged.into_iter().find_map(|c| Some((preferred(&c)?, c)));
        let (mode, connector) = found.ok_or("no display is plugged in")?;
        let name = format!("{}-{} of {}", connector.interface().as_str(), connector.interface_id(), path.display());
        let encoders = connector.encoders().iter().filter_map(|e| card.get_encoder(*e).ok());
        let mut crtcs = encoders.flat_map(|e| all.filter_crtcs(e.possible_crtcs()));
        let crtc = crtcs.next().ok_or_else(|| format!("nothing drives the connector of {name}"))?;
        let (width, height) = mode.size();
        let size = (width.into(), height.into());
        let buffer =
            card.create_dumb_buffer(size, DrmFourcc::Xrgb8888, 32).map_err(told("get memory for a picture"))?;
        let frame = card.add_framebuffer(&buffer, 24, 32).map_err(told("make a picture of the memory"))?;
        card.set_crtc(crtc, Some(frame), (0, 0), &[connector.handle()], Some(mode))
            .map_err(told("show the picture"))?;
        Ok(Plugged { connector: connector.handle(), card, name, crtc, mode, buffer, frame })
    }
}

/// The mode that the display likes best, if one is plugged in.
fn preferred(connector: &connector::Info) -> Option<Mode> {
    if connector.state() != connector::State::Connected {
        return None;
    }
    let modes = connector.modes();
    modes.iter().find(|m| m.mode_type().contains(ModeTypeFlags::PREFERRED)).or_else(|| modes.first()).copied()
}

impl Board for Plugged {
    fn check(&mut self) -> Result<(), String> {
        // What the kernel knows already: a plug interrupts it. Asking the display itself takes a tenth of a second.
        let connector = self.card.get_connector(self.connector, false).map_err(|e| format!("ask for its plug: {e}"))?;
        match preferred(&connector) {
            None => return Err("the display was unplugged".into()),
            Some(mode) if mode.size() != self.mode.size() => return Err("another display was plugged in".into()),
            Some(_) => {}
        }
        let crtc = self.card.get_crtc(self.crtc).map_err(|e| format!("ask what it shows: {e}"))?;
        if crtc.framebuffer() == Some(self.frame) { Ok(()) } else { Err("another program shows something".into()) }
    }

    fn write(&mut self, fill: &mut dyn FnMut(&mut [u8], usize)) -> Result<(), String> {
        let pitch = self.buffer.pitch() as usize;
        let mut memory =
            self.card.map_dumb_buffer(&mut self.buffer).map_err(|e| format!("reach the memory of its picture: {e}"))?;
        fill(memory.as_mut(), pitch);
        drop(memory);
        // Displays behind a bus of their own (USB, virtual ones) want to be told; others do not know the call.
        let (width, height) = self.mode.size();
        let _unknown = self.card.dirty_framebuffer(self.frame, &[ClipRect::new(0, 0, width, height)]);
        Ok(())
    }

    fn name(&self) -> String {
        self.name.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::config::sections::DrmConfig;
    use crate::ports::Recovery;

    #[test]
    fn a_card_that_is_none_is_an_error_that_says_what_to_check() {
        for (card, told) in [("/dev/dri/no-card", "No such file"), ("/dev/null", "ask for its connectors")] {
            let drm = DrmConfig { card: Some(card.into()), rotate: 0 };
            let config = PromptConfig { drm, ..Config::defaults("/nonexistent".as_ref()).prompt().clone() };
            let e = open(&config).err().expect("none");
            let text = e.to_string();
            assert!(text.contains(card) && text.contains(told) && text.contains("prompt.drm"), "{text}");
            assert_eq!(e.recovery, Recovery::Reopen);
        }
    }
}
