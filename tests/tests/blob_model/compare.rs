//! Compares what there is with the model.

use std::collections::BTreeSet;
use std::iter;

use spdk::blob::{BlobId, SnapshotTree};
use spdk_tests::model::UNIT;
use spdk_tests::model::check::{right_ones, same, text};
use spdk_tests::model::content::compare_bdev;
use spdk_tests::model::store::{Model, Name, ReadOnly};

use crate::case::Run;
use crate::desk::{self, Seen, TARGETS};

impl Run<'_> {
    /// Compares what can be seen without opening anything, and the content of the blob that the last step was about.
    pub(crate) async fn look(&self, model: &Model, about: Option<Name>) -> Result<(), String> {
        for (open, (name, thread)) in &model.open {
            let (open, thread) = (*open, *thread);
            let content = (about == Some(*name)).then(|| model.all_content(*name));
            let look = async move || desk::of(thread)?.look(open, content).await;
            let seen = self.threads.on(thread, look).await;
            let seen = seen.map_err(|wrong| format!("b{name}, o{open}: {wrong}"))?;
            is_as_seen(model, *name, &seen)?;
        }
        let store = self.store()?;
        for (name, blob) in &model.blobs {
            let parent = store.parent(blob.id).await.map_err(text)?;
            let expected = blob.parent.map(|parent| model.blob(parent).id);
            same(&format!("the parent of b{name}"), parent, expected)?;
            let clones = store.clones(blob.id).await.map_err(text)?;
            let expected = model.clones(*name).into_iter();
            let expected: BTreeSet<_> = expected.map(|clone| model.blob(clone).id).collect();
            let is_same = clones.len() == expected.len();
            let clones = clones.into_iter().collect();
            same(&format!("the set of clones of b{name}"), clones, expected)?;
            same("that each clone is told once", is_same, true)?;
        }
        let Some(free) = model.free() else {
            return Ok(());
        };
        // It has each blob open for a moment, in which another sequence could not delete it.
        is_in_tree(model, &store.snapshot_tree().await.map_err(text)?)?;
        let found = store.free_clusters().map_err(text)?;
        same("the number of free clusters", found, free)
    }

    /// Compares all that there is with one model of each sequence; returns these.
    pub(crate) async fn compare(&self, lanes: &[Vec<Model>]) -> Result<Vec<Model>, String> {
        let right = right_ones(lanes, async |model| self.compare_one(model).await).await?;
        let store = self.store()?;
        let (mut blobs, mut ids) = (store.blobs(), Vec::new());
        while let Some(id) = blobs.next().await {
            ids.push(id.map_err(text)?);
        }
        let known = right.iter().flat_map(|model| model.blobs.values());
        let expected: BTreeSet<BlobId> = known.clone().map(|blob| blob.id).collect();
        same("the list of blobs", ids.len(), expected.len())?;
        let ids: BTreeSet<_> = ids.into_iter().collect();
        same("the list of blobs", &ids, &expected)?;
        let tree = store.snapshot_tree().await.map_err(text)?;
        same(
            "the list of blobs in the tree",
            tree.blobs().collect(),
            expected,
        )?;
        for model in &right {
            is_in_tree(model, &tree)?;
        }
        let used: u64 = known.map(|blob| blob.allocated()).sum();
        let total = right.first().and_then(|model| model.total);
        let total = total.unwrap_or(self.total);
        let found = store.total_clusters().map_err(text)?;
        same("the number of clusters", found, total)?;
        let free = store.free_clusters().map_err(text)?;
        same("the number of free clusters", free, total - used)?;
        Ok(right)
    }

    async fn compare_one(&self, model: &Model) -> Result<(), String> {
        self.look(model, None).await?;
        for (name, blob) in &model.blobs {
            let (id, content) = (blob.id, model.all_content(*name));
            let look = async move || desk::of(0)?.open_and_look(id, content).await;
            let seen = self.threads.on(0, look).await;
            let seen = seen.map_err(|wrong| format!("b{name}: {wrong}"))?;
            let mut model = model.clone();
            // It was closed.
            if !model.is_open(*name) {
                model.sync(*name);
            }
            is_as_seen(&model, *name, &seen)?;
        }
        if model.total.is_none() {
            return Ok(());
        }
        let store = self.store()?;
        let super_blob = store.super_blob().await.map_err(text)?;
        same("the super blob", super_blob, model.super_blob)?;
        let bstype = store.bstype().await.map_err(text)?;
        same("the type of the store", bstype, model.bstype)?;
        for (bdev, content) in TARGETS.iter().zip(&model.targets) {
            compare_bdev(bdev, content).await?;
        }
        Ok(())
    }
}

/// Compares which blob depends on which.
fn is_in_tree(model: &Model, tree: &SnapshotTree) -> Result<(), String> {
    for (name, blob) in &model.blobs {
        let parent = blob.parent.map(|parent| model.blob(parent).id);
        let what = format!("the parent of b{name} in the tree");
        same(&what, tree.parent(blob.id), parent)?;
        let clones = model.clones(*name).into_iter();
        let clones: BTreeSet<_> = clones.map(|clone| model.blob(clone).id).collect();
        let what = format!("the list of clones of b{name} in the tree");
        let found = tree.clones(blob.id).to_vec();
        same(&what, found, clones.into_iter().collect())?;
        let parent = |name: &Name| model.blob(*name).parent;
        let ancestors = iter::successors(parent(name), parent);
        let ancestors: Vec<_> = ancestors.map(|name| model.blob(name).id).collect();
        let what = format!("the list of what b{name} reads through");
        same(&what, tree.ancestors(blob.id).collect(), ancestors)?;
        let is_root = tree.roots().any(|root| root == blob.id);
        let what = format!("that b{name} depends on no snapshot");
        same(&what, is_root, blob.parent.is_none())?;
    }
    Ok(())
}

fn is_as_seen(model: &Model, name: Name, seen: &Seen) -> Result<(), String> {
    let (blob, info) = (model.blob(name), &seen.info);
    let what = |what: &str| format!("{what} of b{name}");
    same(&what("the ID"), info.id, blob.id)?;
    same(
        &what("the size in clusters"),
        info.num_clusters,
        blob.size(),
    )?;
    same(&what("the size"), seen.size, blob.units() * UNIT as u64)?;
    let allocated = info.num_allocated_clusters;
    same(
        &what("the number of allocated clusters"),
        allocated,
        blob.allocated(),
    )?;
    let is_read_only = blob.read_only == ReadOnly::Yes;
    same(&what("is_read_only"), info.is_read_only, is_read_only)?;
    same(&what("is_snapshot"), info.is_snapshot, blob.is_snapshot)?;
    same(&what("is_clone"), info.is_clone, blob.parent.is_some())?;
    let id = blob
        .external
        .map(|external| external.id.as_bytes().to_vec());
    same(&what("is_esnap_clone"), info.is_esnap_clone, id.is_some())?;
    same(&what("the external snapshot"), &seen.external, &id)?;
    let is_degraded = model.is_degraded(name);
    same(&what("is_degraded"), info.is_degraded, is_degraded)?;
    let is_thin = info.is_thin_provisioned;
    same(&what("is_thin_provisioned"), is_thin, blob.is_thin)?;
    let parent = blob.parent.map(|parent| model.blob(parent).id);
    same(&what("the parent"), info.parent, parent)?;
    same(&what("the attributes"), &seen.xattrs, &blob.xattrs)
}
