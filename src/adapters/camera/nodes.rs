//! The V4L2 nodes that the system lists, without opening one: names for `doctor` and for error messages.

use std::path::{Path, PathBuf};

/// A camera that could be configured.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct CameraInfo {
    /// The kernel's node, `/dev/video0`.
    pub node: PathBuf,
    /// What the driver calls it.
    pub name: String,
    /// Names that stay over reboots and replugging: `/dev/v4l/by-id/…`, then `/dev/v4l/by-path/…`.
    pub stable: Vec<PathBuf>,
    /// The kernel's driver; empty where it tells none, as for v4l2loopback.
    pub driver: String,
    /// `VID:PID serial` of a USB camera.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usb: Option<String>,
    /// Its place among the machine's devices: the port that it is plugged into.
    pub place: String,
    /// No hardware behind it: v4l2loopback, vivid.
    pub virtual_device: bool,
}

/// A pixel format that a camera offers.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct FormatInfo {
    /// The four letters of V4L2.
    pub name: String,
    /// Whether it can be read here.
    pub usable: bool,
    pub sizes: Vec<SizeInfo>,
}

/// A picture size and the rates that it is offered at; none where the driver tells none.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct SizeInfo {
    pub width: u32,
    pub height: u32,
    pub fps: Vec<f64>,
}

impl CameraInfo {
    /// What makes it this camera and no other: everything but the node's number, which replugging may change.
    #[must_use]
    pub fn identity(&self) -> String {
        let driver = if self.driver.is_empty() { "no driver" } else { &self.driver };
        let usb = self.usb.as_ref().map(|usb| format!(" {usb}")).unwrap_or_default();
        format!("v4l2 {driver}{usb} `{}` at {}", self.name, self.place)
    }
}

/// All nodes under `root` (normally `/`), by number.
#[must_use]
pub fn list(root: &Path) -> Vec<CameraInfo> {
    let Ok(entries) = std::fs::read_dir(root.join("dev")) else { return Vec::new() };
    let mut found: Vec<(u32, CameraInfo)> = entries
        .flatten()
        .filter_map(|e| {
            let name = e.file_name().into_string().ok()?;
            let number = name.strip_prefix("video")?.parse().ok()?;
            Some((number, describe(root, &e.path(), &name)))
        })
        .collect();
    found.sort_by_key(|(number, _)| *number);
    found.into_iter().map(|(_, info)| info).collect()
}

/// The camera that `device` (a node or a link to one) leads to; `None` if it is no V4L2 node.
#[must_use]
pub fn find(root: &Path, device: &Path) -> Option<CameraInfo> {
    let node = device.canonicalize().ok()?;
    let name = node.file_name()?.to_str()?.to_owned();
    root.join("sys/class/video4linux").join(&name).exists().then(|| describe(root, &node, &name))
}

fn describe(root: &Path, node: &Path, name: &str) -> CameraInfo {
    let sys = root.join("sys/class/video4linux").join(name);
    let stable = ["dev/v4l/by-id", "dev/v4l/by-path"].iter().flat_map(|dir| links_to(&root.join(dir), node)).collect();
    let driver = sys.join("device/driver").canonicalize().ok();
    let driver = driver.as_deref().and_then(Path::file_name).map(|d| d.to_string_lossy().into_owned());
    let above = above(root, &sys);
    CameraInfo {
        node: node.to_owned(),
        name: text(&sys.join("name")),
        stable,
        driver: driver.unwrap_or_default(),
        usb: above.iter().find(|dir| dir.join("idVendor").exists()).map(|dir| usb(dir)),
        place: place(root, &sys),
        virtual_device: is_virtual(root, &sys),
    }
}

/// An attribute as one line. A name may be cut within a character (the kernel keeps 31 bytes of it), or hold anything
/// that a device's maker, or an attacker's device, wrote into it.
fn text(file: &Path) -> String {
    let bytes = std::fs::read(file).unwrap_or_default();
    let text: String = String::from_utf8_lossy(&bytes).chars().filter(|c| !c.is_control()).take(80).collect();
    text.trim().to_owned()
}

fn usb(dir: &Path) -> String {
    let ids = format!("{}:{} {}", text(&dir.join("idVendor")), text(&dir.join("idProduct")), text(&dir.join("serial")));
    ids.trim_end().to_owned()
}

/// The directories of the devices that the node hangs on, the nearest first.
fn above(root: &Path, sys: &Path) -> Vec<PathBuf> {
    let (Ok(device), Ok(devices)) = (sys.canonicalize(), root.join("sys/devices").canonicalize()) else {
        return Vec::new();
    };
    device
        .ancestors()
        .skip(1)
        .take_while(|dir| dir.starts_with(&devices) && **dir != devices)
        .map(Path::to_owned)
        .collect()
}

fn place(root: &Path, sys: &Path) -> String {
    let devices = root.join("sys/devices").canonicalize().unwrap_or_default();
    let device = above(root, sys).into_iter().find(|dir| dir.file_name().is_none_or(|n| n != "video4linux"));
    let device = device.as_deref().and_then(|dir| dir.strip_prefix(&devices).ok()).map(|d| d.display().to_string());
    // Nodes without a device share one directory; only their number tells them apart.
    match device {
        Some(place) if place != "virtual" => place,
        _ => format!("virtual/{}", sys.file_name().unwrap_or_default().to_string_lossy()),
    }
}

fn links_to(dir: &Path, node: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let mut links: Vec<PathBuf> = entries
        .flatten()
        .map(|e| e.path())
        .filter(|link| link.canonicalize().is_ok_and(|to| node.canonicalize().is_ok_and(|node| node == to)))
        .collect();
    links.sort();
    links
}

/// Whether the node's place in sysfs shows no hardware: it hangs neither on a PCI bus nor on a device that the firmware
/// (device tree or ACPI) described. So not only v4l2loopback, vivid and vimc are found, but also cameras that are USB in
/// name only: those of dummy_hcd, and those that usbip brings in over a network. A node that cannot be looked up counts
/// as virtual: what may open a door must be known to be a camera.
fn is_virtual(root: &Path, sys: &Path) -> bool {
    let real = |dir: &PathBuf| {
        dir.file_name().is_some_and(|name| name.to_string_lossy().starts_with("pci"))
            || dir.join("of_node").exists()
            || dir.join("firmware_node").exists()
    };
    !above(root, sys).iter().any(real)
}

/// Whether the node that `device` leads to has no hardware behind it.
#[must_use]
pub fn node_is_virtual(root: &Path, device: &Path) -> bool {
    find(root, device).is_none_or(|camera| camera.virtual_device)
}

/// The candidates as one line for an error's hint.
#[must_use]
pub fn candidates(root: &Path) -> String {
    let found = list(root);
    if found.is_empty() {
        return "no /dev/video* is there: plug a camera in, or set camera.kind to file or command".into();
    }
    let each = found.iter().map(|c| {
        let best = c.stable.first().unwrap_or(&c.node);
        format!("{} ({})", best.display(), if c.name.is_empty() { "unnamed" } else { &c.name })
    });
    format!("set camera.device to one of: {}", each.collect::<Vec<_>>().join(", "))
}

/// What a camera says of its controls; those that it does not have are absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct ControlInfo {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exposure_us: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gain: Option<i64>,
    /// 0: the filter is off; `None` also where the camera finds out by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub power_line_hz: Option<i64>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    const USB: &str = "sys/devices/pci0000:00/usb1/1-1";

    /// A USB camera, a camera of the board, and three that are none, out of order.
    fn machine() -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a directory");
        let at = |p: &str| dir.path().join(p);
        for d in ["dev/v4l/by-id", "sys/class/video4linux", "sys/bus/usb/drivers/uvcvideo"] {
            std::fs::create_dir_all(at(d)).expect("makes");
        }
        for (node, device, name) in [
            ("video10", "sys/devices/virtual", &b"Dummy video device"[..]),
            ("video0", &format!("{USB}/1-1:1.0"), b"HD Webcam"),
            ("video2", "sys/devices/platform/vivid.0", b"vivid"),
            // Cut in the middle of a character.
            ("video3", "sys/devices/platform/soc/fe801000.csi", b"Kam\xc3"),
            ("video4", "sys/devices/platform/vhci_hcd.0/usb5/5-1/5-1:1.0", b"HD Webcam\n"),
        ] {
            let home = at(device).join("video4linux").join(node);
            std::fs::write(at(&format!("dev/{node}")), "").expect("writes");
            std::fs::create_dir_all(&home).expect("makes");
            std::fs::write(home.join("name"), name).expect("writes");
            if node != "video10" {
                symlink(at(device), home.join("device")).expect("links");
            }
            symlink(&home, at(&format!("sys/class/video4linux/{node}"))).expect("links");
        }
        symlink(at("sys/bus/usb/drivers/uvcvideo"), at(USB).join("1-1:1.0/driver")).expect("links");
        for (file, what) in [("idVendor", "046d\n"), ("idProduct", "0825\n"), ("serial", "A1B2\n")] {
            std::fs::write(at(USB).join(file), what).expect("writes");
        }
        std::fs::create_dir(at("sys/devices/platform/soc/of_node")).expect("makes");
        symlink("../../video0", at("dev/v4l/by-id/usb-ACME_HD_Webcam-index0")).expect("links");
        dir
    }

    #[test]
    fn cameras_are_listed_by_number_with_their_stable_names() {
        let root = machine();
        let found = list(root.path());
        let short: Vec<_> = found.iter().map(|c| (c.name.as_str(), c.stable.len(), c.virtual_device)).collect();
        assert_eq!(
            short,
            [
                ("HD Webcam", 1, false),
                ("vivid", 0, true),
                ("Kam\u{fffd}", 0, false),
                ("HD Webcam", 0, true),
                ("Dummy video device", 0, true),
            ]
        );
        let hint = candidates(root.path());
        assert!(hint.contains("by-id/usb-ACME_HD_Webcam-index0 (HD Webcam), "), "{hint}");
    }

    #[test]
    fn a_name_that_leads_to_hardware_is_no_virtual_camera_and_doubt_is() {
        let root = machine();
        let is = |p: &str| node_is_virtual(root.path(), &root.path().join(p));
        assert!(!is("dev/v4l/by-id/usb-ACME_HD_Webcam-index0") && !is("dev/video3"));
        assert!(is("dev/video10") && is("dev/video2") && is("dev/video77"));
        assert!(is("dev/video4"), "a camera that came over the network hangs on no real bus");
    }

    #[test]
    fn a_camera_is_known_by_driver_ids_name_and_port_and_not_by_its_number() {
        let root = machine();
        let identity = |p: &str| find(root.path(), &root.path().join(p)).expect("is there").identity();
        let by_id = identity("dev/v4l/by-id/usb-ACME_HD_Webcam-index0");
        assert_eq!(by_id, "v4l2 uvcvideo 046d:0825 A1B2 `HD Webcam` at pci0000:00/usb1/1-1/1-1:1.0");
        assert_eq!(identity("dev/video10"), "v4l2 no driver `Dummy video device` at virtual/video10");
        assert_eq!(identity("dev/video2"), "v4l2 no driver `vivid` at platform/vivid.0");
        assert!(find(root.path(), &root.path().join("dev/v4l")).is_none());
        std::fs::write(root.path().join(USB).join("serial"), "other").expect("writes");
        assert_ne!(identity("dev/video0"), by_id);
    }

    #[test]
    fn a_machine_without_cameras_says_so() {
        let root = tempfile::tempdir().expect("a directory");
        assert!(candidates(root.path()).starts_with("no /dev/video* is there"));
    }
}
