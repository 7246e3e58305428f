//! What is done to the store itself.

use spdk::Errno;
use spdk_tests::model::check::Returns;

use super::{Call, Plan, Planner, next_growth};
use crate::desk;
use crate::steps::{Kind, Type};

impl Planner<'_> {
    pub(super) fn set_super(mut self, number: Option<u8>) -> Option<Plan> {
        let blob = match number {
            Some(number) => Some(self.blob(number)?),
            None => None,
        };
        let id = blob.map(|(_, id)| id);
        self.after.super_blob = id;
        let text = match blob {
            Some((name, _)) => format!("store.set_super_blob(b{name})"),
            None => "store.set_super_blob(None)".to_owned(),
        };
        Some(self.plan((Call::SetSuper(id), Returns::Ok, text), None))
    }

    pub(super) fn set_type(mut self, to: Type) -> Plan {
        let bstype = desk::bstype(to);
        let returns = if to == Type::Empty || bstype == self.before.bstype {
            self.after.bstype = bstype;
            Returns::Ok
        } else {
            Returns::Errno(Errno::ENOTSUP)
        };
        let text = format!("store.set_bstype({to:?})");
        self.plan((Call::SetType(to), returns, text), None)
    }

    pub(super) fn grow(mut self, device: Kind) -> Plan {
        let growth = next_growth(self.before, device);
        self.after.grow(growth);
        let text = format!("store.grow(), after {growth} clusters more");
        self.plan((Call::Grow(growth), Returns::Ok, text), None)
    }

    /// If nobody waits for it, it may come when the store is not in use any more.
    pub(super) fn end_in_use(self, is_destroyed: bool) -> Plan {
        let returns = Returns::Errno(Errno::EBUSY);
        let text = if is_destroyed { "destroy" } else { "unload" };
        let call = Call::EndInUse { is_destroyed };
        self.plan((call, returns, format!("store.{text}()")), None)
    }
}
