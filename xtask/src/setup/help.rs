//! What to say where the set-up cannot help itself.

use super::distro::Distro;
use crate::find::SUPPORTED;

/// The way out that always exists.
pub(super) const OWN_SPDK: &str = "\
You can use an SPDK of your own instead:
  cargo xtask setup --source DIR   builds a checkout of SPDK that you have
  export SPDK_DIR=DIR              names one that is built, or its install prefix";

/// The page for a machine that does not get its packages from Debian.
pub(super) fn no_debian_archive(distro: &Distro) -> String {
    format!(
        "\
{} is not set up with a Debian archive, from whose source package `ceph` this command takes SPDK
(from `apt-get indextargets`: none of its repositories is Debian's).

What is needed is SPDK {} to {}, with its submodules (DPDK, isa-l, isa-l-crypto):
  1. Get it: a release of SPDK, with `git clone --recursive` or from your distribution.
  2. Get what building it takes: `scripts/pkgdep.sh` in that checkout installs it on most
     distributions. Our bindings also take libclang (for bindgen) and pkg-config.
  3. Either build it here, into the cache of this project:
         cargo xtask setup --source DIR
     or build it yourself (`./configure && make`), perhaps install it, and name the place:
         export SPDK_DIR=DIR
Then everything else works: cargo xtask demo, cargo xtask test.",
        distro.title(),
        SUPPORTED.0,
        SUPPORTED.1
    )
}

/// Said where the packages cannot be looked up.
pub(super) const PACKAGES_UNKNOWN: &str = "\
Without apt and dpkg this command cannot see which packages are missing. `scripts/pkgdep.sh` in the
checkout of SPDK installs what building it takes on most distributions; libclang and pkg-config are
needed too.";
