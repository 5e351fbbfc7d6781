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
    /// No hardware behind it: v4l2loopback, vivid.
    pub virtual_device: bool,
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

fn describe(root: &Path, node: &Path, name: &str) -> CameraInfo {
    let sys = root.join("sys/class/video4linux").join(name);
    let title = std::fs::read_to_string(sys.join("name")).unwrap_or_default();
    let stable = ["dev/v4l/by-id", "dev/v4l/by-path"].iter().flat_map(|dir| links_to(&root.join(dir), node)).collect();
    CameraInfo { node: node.to_owned(), name: title.trim().to_owned(), stable, virtual_device: is_virtual(&sys) }
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

/// Whether the node's place in sysfs shows no hardware. A node that cannot be looked up counts as virtual: what may
/// open a door must be known to be a camera.
fn is_virtual(sys: &Path) -> bool {
    let Ok(device) = sys.canonicalize() else { return true };
    let device = device.to_string_lossy();
    device.contains("/devices/virtual/") || device.contains("/vivid")
}

/// Whether the node that `device` leads to has no hardware behind it.
#[must_use]
pub fn node_is_virtual(root: &Path, device: &Path) -> bool {
    let Ok(node) = device.canonicalize() else { return true };
    node.file_name().is_none_or(|name| is_virtual(&root.join("sys/class/video4linux").join(name)))
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// A USB camera with two nodes and a loopback, out of order.
    fn machine() -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a directory");
        let at = |p: &str| dir.path().join(p);
        for d in ["dev/v4l/by-id", "sys/class/video4linux"] {
            std::fs::create_dir_all(at(d)).expect("makes");
        }
        for (node, device, name) in [
            ("video10", "sys/devices/virtual/video4linux/video10", "Dummy video device"),
            ("video0", "sys/devices/pci0/usb1/1-1/video4linux/video0", "HD Webcam"),
            ("video2", "sys/devices/platform/vivid.0/video4linux/video2", "vivid"),
        ] {
            std::fs::write(at(&format!("dev/{node}")), "").expect("writes");
            std::fs::create_dir_all(at(device)).expect("makes");
            std::fs::write(at(device).join("name"), format!("{name}\n")).expect("writes");
            symlink(at(device), at(&format!("sys/class/video4linux/{node}"))).expect("links");
        }
        symlink("../../video0", at("dev/v4l/by-id/usb-ACME_HD_Webcam-index0")).expect("links");
        dir
    }

    #[test]
    fn cameras_are_listed_by_number_with_their_stable_names() {
        let root = machine();
        let found = list(root.path());
        let short: Vec<_> = found.iter().map(|c| (c.name.as_str(), c.stable.len(), c.virtual_device)).collect();
        assert_eq!(short, [("HD Webcam", 1, false), ("vivid", 0, true), ("Dummy video device", 0, true)]);
        let hint = candidates(root.path());
        assert!(hint.contains("by-id/usb-ACME_HD_Webcam-index0 (HD Webcam), "), "{hint}");
    }

    #[test]
    fn a_name_that_leads_to_hardware_is_no_virtual_camera_and_doubt_is() {
        let root = machine();
        let is = |p: &str| node_is_virtual(root.path(), &root.path().join(p));
        assert!(!is("dev/v4l/by-id/usb-ACME_HD_Webcam-index0"));
        assert!(is("dev/video10") && is("dev/video2") && is("dev/video77"));
    }

    #[test]
    fn a_machine_without_cameras_says_so() {
        let root = tempfile::tempdir().expect("a directory");
        assert!(candidates(root.path()).starts_with("no /dev/video* is there"));
    }
}
