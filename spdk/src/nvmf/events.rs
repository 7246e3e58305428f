//! Events of a target. SPDK does not tell them, so that a task looks for them.
#![allow(unsafe_code)] // Reports events to a hub.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::address::NvmfAddress;
use super::connections::queue_pairs;
use super::core::State;
use super::target::NvmfTarget;
use crate::error::{At, Result};
use crate::events::{EventHub, Events, emit};
use crate::local::begin;
use crate::{task, time};

/// What happens to a target.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NvmfEvent {
    /// A host has connected a controller.
    Connected {
        /// The name of the subsystem.
        subsystem: String,
        /// The number of the controller.
        controller: u16,
        /// Where the host has connected from.
        host: Option<NvmfAddress>,
    },
    /// A controller is gone: its host has disconnected, or was disconnected.
    Disconnected {
        /// The name of the subsystem.
        subsystem: String,
        /// The number of the controller.
        controller: u16,
    },
    /// A subsystem has a new namespace.
    NamespaceAdded {
        /// The name of the subsystem.
        subsystem: String,
        /// The number of the namespace.
        nsid: u32,
    },
    /// A namespace is gone, also since its bdev was removed.
    NamespaceRemoved {
        /// The name of the subsystem.
        subsystem: String,
        /// The number of the namespace.
        nsid: u32,
    },
}

/// What there is at one time.
#[derive(Default)]
struct Sight {
    controllers: BTreeMap<(String, u16), Option<NvmfAddress>>,
    namespaces: BTreeSet<(String, u32)>,
}

impl Sight {
    async fn of(state: &mut State) -> Result<Sight> {
        let admin = queue_pairs(state).await?.into_iter();
        let admin = admin.filter(|qpair| qpair.id == 0 && qpair.is_ready);
        let mut namespaces = BTreeSet::new();
        for subsystem in &state.subsystems {
            let nqn = &subsystem.nqn;
            let all = subsystem.namespaces();
            namespaces.extend(all.into_iter().map(|ns| (nqn.clone(), ns.nsid)));
        }
        Ok(Sight {
            controllers: admin
                .map(|qpair| ((qpair.subsystem, qpair.controller), qpair.host))
                .collect(),
            namespaces,
        })
    }

    /// What has happened since an earlier one.
    fn since(&self, before: &Sight) -> Vec<NvmfEvent> {
        let mut events = Vec::new();
        for ((subsystem, controller), host) in &before.controllers {
            // A number is used again, by a host that connects from another port.
            let now = self.controllers.get(&(subsystem.clone(), *controller));
            if now != Some(host) {
                events.push(NvmfEvent::Disconnected {
                    subsystem: subsystem.clone(),
                    controller: *controller,
                });
            }
        }
        for (subsystem, nsid) in before.namespaces.difference(&self.namespaces).cloned() {
            events.push(NvmfEvent::NamespaceRemoved { subsystem, nsid });
        }
        for (subsystem, nsid) in self.namespaces.difference(&before.namespaces).cloned() {
            events.push(NvmfEvent::NamespaceAdded { subsystem, nsid });
        }
        for ((subsystem, controller), host) in &self.controllers {
            let key = (subsystem.clone(), *controller);
            if before.controllers.get(&key) != Some(host) {
                events.push(NvmfEvent::Connected {
                    subsystem: subsystem.clone(),
                    controller: *controller,
                    host: *host,
                });
            }
        }
        events
    }
}

impl NvmfTarget {
    /// A stream of what happens to it. It begins with what there is already: controllers and namespaces.
    ///
    /// SPDK does not report these, so that a task looks for them once per `period`: what comes and goes between two
    /// looks is not seen. The stream does not keep the target open, and ends with it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::WrongThread`](crate::ErrorKind::WrongThread), [`ErrorKind::Gone`](crate::ErrorKind::Gone), and
    /// what [`interval`](crate::time::interval) says of a period that cannot be.
    ///
    /// # Cancellation
    ///
    /// The task ends when the stream is dropped.
    pub fn events(&self, period: Duration) -> Result<Events<NvmfEvent>> {
        let core = self.0.extra().clone();
        let alive = begin(|caller| self.0.get(caller).map(drop));
        alive.map_err(|fault| fault.at(At::new("NvmfTarget::events", &core.name.as_str())))?;
        let hub = EventHub::new();
        let events = hub.subscribe();
        let mut interval = time::interval(period)?;
        let look = async move {
            let mut before = Sight::default();
            while hub.is_heard() {
                // An error says that the target has closed.
                let Ok(now) = core.visit("NvmfTarget::events", Sight::of).await else {
                    break;
                };
                for event in now.since(&before) {
                    // SAFETY: the hub lives here, on its spdk_thread.
                    unsafe { emit(hub.arg(), event) }
                }
                before = now;
                if interval.next().await.is_none() {
                    break;
                }
            }
        };
        drop(task::spawn_local(look)?);
        Ok(events)
    }
}
