//! Exposure, gain and the mains' frequency of a V4L2 camera, by the kernel's control ids (`v4l2-controls.h`).
//!
//! Only these are asked for one by one: a list of all controls ends the process on a kind that the crate does not know.

use super::ControlInfo;
use crate::config::sections::CameraControls;
use std::io;
use v4l::Device;
use v4l::control::{Control, Value};

const GAIN: u32 = 0x0098_0913;
const AUTOGAIN: u32 = 0x0098_0912;
const POWER_LINE: u32 = 0x0098_0918;
const EXPOSURE_AUTO: u32 = 0x009a_0901;
/// In tenths of a millisecond.
const EXPOSURE: u32 = 0x009a_0902;
/// `V4L2_EXPOSURE_MANUAL`.
const MANUAL: i64 = 1;

/// One control that the configuration asks for: its key, the id, the value, and what must be switched to manual before.
struct Ask {
    key: &'static str,
    id: u32,
    value: i64,
    manual: Option<(u32, Value)>,
}

fn asks(wanted: &CameraControls) -> Vec<Ask> {
    let exposure = wanted.exposure_us.map(|us| Ask {
        key: "camera.exposure_us",
        id: EXPOSURE,
        value: (i64::from(us) + 50) / 100,
        manual: Some((EXPOSURE_AUTO, Value::Integer(MANUAL))),
    });
    let gain = wanted.gain.map(|gain| Ask {
        key: "camera.gain",
        id: GAIN,
        value: i64::from(gain),
        manual: Some((AUTOGAIN, Value::Boolean(false))),
    });
    let power_line = wanted.power_line_hz.map(|hz| Ask {
        key: "camera.power_line_hz",
        id: POWER_LINE,
        value: i64::from(match hz {
            50 => 1,
            60 => 2,
            _ => 0,
        }),
        manual: None,
    });
    [exposure, gain, power_line].into_iter().flatten().collect()
}

/// Sets what the configuration asks for and reads it back.
///
/// # Errors
/// The key of what the camera does not have, or takes otherwise.
pub fn set(device: &Device, wanted: &CameraControls) -> Result<(), String> {
    for Ask { key, id, value, manual } in asks(wanted) {
        if let Some((id, value)) = manual {
            // Many cameras have no automatic to switch off.
            if let Err(e) = device.set_control(Control { id, value }) {
                tracing::debug!(key, error = %e, "no automatic to switch off");
            }
        }
        let told = |e: io::Error| match e.raw_os_error() {
            // EINVAL: there is none. ERANGE: there is, and not this value.
            Some(22) => format!("{key}: it has no such control"),
            Some(34) => format!("{key}: it does not take {value}"),
            _ => format!("{key}: {e}"),
        };
        device.set_control(Control { id, value: Value::Integer(value) }).map_err(told)?;
        match device.control(id).map_err(told)?.value {
            Value::Integer(got) if got != value => {
                // Drivers round to what the sensor can do.
                tracing::warn!(key, asked = value, got, "the camera took another value");
            }
            _ => {}
        }
    }
    Ok(())
}

/// The controls as they stand.
#[must_use]
pub fn read(device: &Device) -> ControlInfo {
    let of = |id| match device.control(id).ok()?.value {
        Value::Integer(v) => Some(v),
        _ => None,
    };
    ControlInfo {
        exposure_us: of(EXPOSURE).map(|v| v.saturating_mul(100)),
        gain: of(GAIN),
        power_line_hz: of(POWER_LINE).and_then(|v| match v {
            0 => Some(0),
            1 => Some(50),
            2 => Some(60),
            _ => None,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_told_in_the_kernels_units() {
        let wanted = CameraControls { exposure_us: Some(9_960), gain: Some(3), power_line_hz: Some(50) };
        let all: Vec<(u32, i64)> = asks(&wanted).iter().map(|a| (a.id, a.value)).collect();
        assert_eq!(all, [(0x009a_0902, 100), (0x0098_0913, 3), (0x0098_0918, 1)]);
        let hz = |hz| asks(&CameraControls { power_line_hz: Some(hz), ..CameraControls::default() })[0].value;
        assert_eq!((hz(0), hz(60)), (0, 2));
        assert!(asks(&CameraControls::default()).is_empty());
    }
}
