//! Tests of the build script's own logic: what it finds, what it reads and what it decides to link.

// Each file is tested by a part of its functions.
#![allow(dead_code)]

#[path = "../build/accessors.rs"]
mod accessors;
#[path = "../build/cfgs.rs"]
mod cfgs;
#[path = "../build/drift.rs"]
mod drift;
#[path = "../build/failure.rs"]
mod failure;
#[path = "../build/find.rs"]
mod find;
#[path = "../build/headers.rs"]
mod headers;
#[path = "../build/link.rs"]
mod link;
#[path = "../build/macros.rs"]
mod macros;
#[path = "../build/pc.rs"]
mod pc;
#[path = "../build/tokens.rs"]
mod tokens;

#[path = "build_script/bit_fields.rs"]
mod bit_fields;
#[path = "build_script/cfg_derivation.rs"]
mod cfg_derivation;
#[path = "build_script/header_choice.rs"]
mod header_choice;
#[path = "build_script/installation.rs"]
mod installation;
#[path = "build_script/link_plan.rs"]
mod link_plan;
#[path = "build_script/macro_constants.rs"]
mod macro_constants;
#[path = "build_script/pc_files.rs"]
mod pc_files;
#[path = "build_script/search.rs"]
mod search;
