//! Takes away what a terminal has left at the broker: for one that is taken down, or moved to another name.

use super::options;
use crate::config::sections::Mqtt;
use crate::ports::{PortError, Recovery};
use crate::schema::discovery;
use crate::schema::ids::DeviceId;
use rumqttc::{AsyncClient, PublishOptions, QoS};
use std::time::Duration;

/// All of it, from the connection to the last confirmation.
const PATIENCE: Duration = Duration::from_secs(15);

/// Empties every retained topic of a terminal, the announcement to Home Assistant first, and returns them when the broker
/// has confirmed all. A daemon that runs is not disturbed, and would say its states again at its next connection.
///
/// # Errors
/// The broker does not answer within 15 seconds, or refuses.
pub fn forget(mqtt: &Mqtt, device: &DeviceId) -> Result<Vec<String>, PortError> {
    let failed = |cause: String| {
        let what = format!("remove the retained topics at {}:{}", mqtt.host, mqtt.port);
        PortError::new(what, cause, "check mqtt.host, mqtt.port and the broker's access list", Recovery::Degrade)
    };
    let mut options = options::connection(mqtt)?;
    // Another name than the daemon's, which the broker would throw out otherwise.
    options.set_client_id(format!("{}-remove", mqtt.client_id));
    let topics = discovery::retained(&mqtt.discovery_prefix, &mqtt.base, device);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| failed(e.to_string()))?;
    let work = async {
        let (client, mut network) =
            AsyncClient::builder(options).capacity(64).try_build().map_err(|e| e.to_string())?;
        let polling = async {
            loop {
                if let Err(e) = network.poll().await {
                    return e.to_string();
                }
            }
        };
        let publishing = async {
            for topic in &topics {
                let empty = PublishOptions::new(QoS::AtLeastOnce).retained();
                let notice = client.try_publish_tracked(topic.clone(), "", empty).map_err(|e| e.to_string())?;
                notice.wait_completion_async().await.map_err(|e| format!("{topic}: {e}"))?;
            }
            Ok::<(), String>(())
        };
        tokio::select! {
            lost = polling => Err(lost),
            done = publishing => done,
        }
    };
    let done = runtime.block_on(async { tokio::time::timeout(PATIENCE, work).await });
    done.unwrap_or_else(|_| Err("no answer within 15 s".into())).map_err(failed)?;
    Ok(topics)
}
