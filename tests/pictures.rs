//! Every file of the corpus of bad input, and what decoding it costs.

mod support;

use cardea::vision::decode::{DecodeError, Limits, decode_file};
use cardea::vision::frame::Picture;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::path::PathBuf;

/// Counts what the calling thread holds, so that tests beside it do not disturb.
struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    // Nothing to count in a thread that is ending.
    let _ = HELD.try_with(|held| {
        held.set(held.get() + bytes);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(held.get())));
    });
}

// SAFETY: every call goes to the system allocator unchanged; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        unsafe { System.dealloc(at, layout) }
    }
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as isize - layout.size() as isize);
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most that `work` held at once, in MiB, beyond what was held before.
fn peak_mib<T>(work: impl FnOnce() -> T) -> (T, isize) {
    let before = HELD.get();
    PEAK.set(before);
    let out = work();
    (out, (PEAK.get() - before) >> 20)
}

fn bad() -> PathBuf {
    support::shared().join("data/bad")
}

fn read(name: &str) -> Vec<u8> {
    let path = bad().join(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn picture(name: &str) -> Picture {
    decode_file(&read(name), &Limits::default()).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// Mean difference of two pictures over all bytes.
fn difference(a: &Picture, b: &Picture) -> f64 {
    assert_eq!((a.width, a.height), (b.width, b.height));
    a.rgb.iter().zip(&b.rgb).map(|(x, y)| f64::from(x.abs_diff(*y))).sum::<f64>() / a.rgb.len() as f64
}

#[test]
fn every_file_of_the_corpus_decodes_or_is_refused_as_expected() {
    let table = String::from_utf8(read("expected.csv")).expect("text");
    let mut seen = 0;
    for line in table.lines().skip(1) {
        let mut cells = line.split(',');
        let (name, expected) = (cells.next().expect("a name"), cells.next_back().expect("an expectation"));
        let bytes = read(name);
        let (result, peak) = peak_mib(|| decode_file(&bytes, &Limits::default()));
        assert!(peak < 128, "{name}: {peak} MiB");
        match (expected, &result) {
            (
                "reject_decode" | "reject_decode_or_no_accept",
                Err(DecodeError::Corrupt { .. } | DecodeError::Unknown { .. }),
            ) => {}
            ("reject_without_big_allocation", Err(DecodeError::TooBig { .. })) => {
                assert_eq!(peak, 0, "{name}: a header alone costs no MiB");
            }
            ("one_face_or_reject_size", Err(DecodeError::TooBig { .. })) => {}
            ("no_crash", _) => {}
            (e, Ok(p)) if !e.starts_with("reject_decode") && !e.starts_with("reject_without") => {
                assert_eq!(p.rgb.len(), p.width as usize * p.height as usize * 3, "{name}");
            }
            (e, r) => panic!("{name}: expected {e}, got {:?}", r.as_ref().map(|p| (p.width, p.height))),
        }
        if let Err(e) = result {
            println!("{name}: {e} ({peak} MiB)");
        }
        seen += 1;
    }
    assert_eq!(seen, 50);
}

#[test]
fn good_pictures_of_every_format_have_their_size() {
    for (name, size) in [
        ("progressive.jpg", (512, 640)),
        ("gray8.jpg", (512, 640)),
        ("cmyk.jpg", (512, 640)),
        ("trailing_garbage.jpg", (512, 640)),
        ("naïve 中文 name.jpg", (910, 1137)),
        ("gray16.png", (512, 640)),
        ("rgb16.png", (256, 320)),
        ("rgba.png", (256, 320)),
        ("palette.png", (512, 640)),
        ("webp.webp", (512, 640)),
        ("bmp.bmp", (256, 320)),
        ("tiff.tif", (512, 640)),
        ("animated.gif", (170, 213)),
        ("one_pixel.png", (1, 1)),
        ("one_by_5000.png", (1, 5000)),
    ] {
        let p = picture(name);
        assert_eq!((p.width, p.height), size, "{name}");
    }
}

#[test]
fn the_same_portrait_looks_the_same_in_every_colour_format() {
    let plain = picture("exif_1.jpg");
    for (name, most) in
        [("progressive.jpg", 2.0), ("palette.png", 8.0), ("webp.webp", 4.0), ("tiff.tif", 3.0), ("cmyk.jpg", 8.0)]
    {
        let d = difference(&plain, &picture(name));
        assert!(d < most, "{name} differs by {d:.2} on average");
    }
    let luma = plain.luma();
    for name in ["gray8.jpg", "gray16.png"] {
        let grey = picture(name).luma();
        let d = luma.iter().zip(&grey).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / luma.len() as f64;
        assert!(d < 3.0, "{name} differs by {d:.2} on average");
    }
}

#[test]
fn all_eight_exif_orientations_give_the_same_upright_portrait() {
    let first = picture("exif_1.jpg");
    assert_eq!((first.width, first.height), (512, 640));
    for n in 2..=8 {
        let d = difference(&first, &picture(&format!("exif_{n}.jpg")));
        assert!(d < 2.0, "orientation {n} differs by {d:.2} on average");
    }
}

#[test]
fn a_picture_cut_anywhere_is_an_error() {
    for name in ["exif_6.jpg", "progressive.jpg", "dark.jpg", "rgba.png", "webp.webp", "bmp.bmp"] {
        let bytes = read(name);
        for n in (0..bytes.len()).step_by(997).chain([bytes.len() - 2, bytes.len() - 1]) {
            assert!(
                decode_file(&bytes[..n], &Limits::default()).is_err(),
                "{name} cut to {n} of {} bytes",
                bytes.len()
            );
        }
    }
}

#[test]
fn the_largest_picture_that_is_allowed_stays_under_128_mib_even_when_it_is_turned() {
    let side = 4096u16;
    let mut bytes = Vec::new();
    image::codecs::jpeg::JpegEncoder::new(&mut bytes)
        .encode(
            &vec![90; usize::from(side) * usize::from(side)],
            side.into(),
            side.into(),
            image::ExtendedColorType::L8,
        )
        .expect("encodes");
    // An APP1 segment with nothing but orientation 6, right after the start marker.
    let exif = b"\xFF\xE1\0\x22Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
    bytes.splice(2..2, exif.iter().copied());
    let (p, peak) = peak_mib(|| decode_file(&bytes, &Limits::default()).expect("decodes"));
    assert_eq!((p.width, p.height), (4096, 4096));
    assert!((96..128).contains(&peak), "{peak} MiB");
}

mod properties {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

        /// A panic would abort the daemon.
        #[test]
        fn a_damaged_picture_never_panics_and_never_costs_much(
            which in 0usize..10,
            damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40),
            keep in any::<prop::sample::Index>(),
            cut in any::<bool>(),
            early in any::<bool>(),
        ) {
            let name = ["dark.jpg", "progressive.jpg", "gray8.jpg", "cmyk.jpg", "rgba.png", "palette.png", "webp.webp",
                "bmp.bmp", "tiff.tif", "animated.gif"][which];
            let mut bytes = read(name);
            let reach = if early { bytes.len().min(1500) } else { bytes.len() };
            for (at, value) in damage {
                bytes[at.index(reach)] = value;
            }
            if cut {
                bytes.truncate(keep.index(bytes.len()));
            }
            let (result, peak) = peak_mib(|| decode_file(&bytes, &Limits::default()));
            prop_assert!(peak < 128, "{}: {} MiB", name, peak);
            if let Ok(p) = result {
                prop_assert_eq!(p.rgb.len(), p.width as usize * p.height as usize * 3);
            }
        }
    }
}
