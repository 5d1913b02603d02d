//! Decoded pixels, shared by all workers: every image is decoded once, on all
//! cores, however many points of the path look at it; on disk also for later runs.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rayon::prelude::*;

use super::disk::{Disk, Key as Content};
use super::{Crop, Dataset, DatasetError, Preprocess};
use crate::sweep::ids::DatasetId;

/// Which image: dataset and index.
type Key = (DatasetId, usize);

/// Pixels, or why there are none.
type Decoded = Result<Crop, String>;

/// What is known about one image.
enum Slot {
    /// A thread is decoding it.
    Busy,
    Ready(Crop),
    /// It cannot be decoded, and why: not tried again.
    Bad(String),
}

#[derive(Default)]
struct State {
    slots: HashMap<Key, Slot>,
    /// Ready images, oldest first.
    ages: VecDeque<Key>,
    bytes: usize,
}

/// Decoded crops of many images, bounded in bytes.
///
/// The oldest are forgotten first. What one call of [`Self::pixels`] returns
/// stays alive for the caller, whatever the budget.
pub struct PixelCache {
    preprocess: Preprocess,
    budget: usize,
    state: Mutex<State>,
    done: Condvar,
    surveys: Mutex<HashMap<DatasetId, Arc<OnceLock<Survey>>>>,
    ahead: OnceLock<Sender<Job>>,
    disk: OnceLock<Disk>,
}

/// Crops of fewer bytes are not kept on disk: small images are decoded as
/// quickly as they are found.
const WORTH_KEEPING: usize = 1 << 14;

/// What trying a dataset's images gave.
struct Survey {
    /// Key and reason of each that cannot be decoded.
    failed: Vec<(String, String)>,
    tried: usize,
}

/// So long other images are tried where one cannot be decoded.
const SURVEY: Duration = Duration::from_secs(5);

/// Images to decode ahead of time.
struct Job {
    cache: Arc<PixelCache>,
    id: DatasetId,
    dataset: Dataset,
    images: Vec<usize>,
}

impl PixelCache {
    /// An empty cache that keeps at most `budget_bytes` of pixels.
    #[must_use]
    pub fn new(preprocess: Preprocess, budget_bytes: usize) -> Self {
        Self {
            preprocess,
            budget: budget_bytes,
            state: Mutex::default(),
            done: Condvar::new(),
            surveys: Mutex::default(),
            ahead: OnceLock::new(),
            disk: OnceLock::new(),
        }
    }

    /// From here on decoded images are also kept in `dir`, at most about `limit`
    /// bytes of them, and looked for there. Any number of runs may share it.
    pub fn keep_on_disk(&self, dir: PathBuf, limit: u64) {
        if self.preprocess.bytes() >= WORTH_KEEPING {
            // The first folder stays.
            let _ = self.disk.set(Disk::new(dir, limit));
        }
    }

    /// Why decoded images are not kept on disk any more; told once.
    #[must_use]
    pub fn remark(&self) -> Option<String> {
        self.disk.get()?.remark()
    }

    /// What is done to each image.
    #[must_use]
    pub fn preprocess(&self) -> Preprocess {
        self.preprocess
    }

    /// Bytes of pixels kept right now, those that are mapped from disk included.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.lock().bytes
    }

    /// The crops of some images, in the order asked for. What is not kept is decoded on all cores; what
    /// another thread is decoding is waited for.
    ///
    /// # Errors
    /// [`DatasetError::Unreadable`] names every image asked for that cannot be
    /// read.
    pub fn pixels(
        &self,
        id: DatasetId,
        dataset: &Dataset,
        images: &[usize],
    ) -> Result<Vec<Crop>, DatasetError> {
        let mut found: HashMap<usize, Decoded> = HashMap::new();
        loop {
            let mut mine = Vec::new();
            let mut state = self.lock();
            for &image in images {
                if found.contains_key(&image) {
                    continue;
                }
                match state.slots.get(&(id, image)) {
                    Some(Slot::Ready(pixels)) => drop(found.insert(image, Ok(pixels.clone()))),
                    Some(Slot::Bad(why)) => drop(found.insert(image, Err(why.clone()))),
                    Some(Slot::Busy) => {}
                    None => {
                        state.slots.insert((id, image), Slot::Busy);
                        mine.push(image);
                    }
                }
            }
            if !mine.is_empty() {
                drop(state);
                found.extend(self.decode(id, dataset, mine));
            } else if images.iter().all(|image| found.contains_key(image)) {
                break;
            } else {
                // Someone else is at work: look again when a thread is done.
                drop(self.done.wait(state).unwrap_or_else(PoisonError::into_inner));
            }
        }
        let mut failed: Vec<(String, String)> = found
            .iter()
            .filter_map(|(&image, got)| {
                got.as_ref().err().map(|why| (dataset.key(image).to_string(), why.clone()))
            })
            .collect();
        if !failed.is_empty() {
            failed.sort();
            let (dataset, images) = (dataset.name().into(), found.len());
            return Err(DatasetError::Unreadable { dataset, failed, tried: images, images });
        }
        Ok(images.iter().filter_map(|image| found.get(image)?.as_ref().ok().cloned()).collect())
    }

    /// Tells of all these images that cannot be decoded beside `failed`, as far as [`SURVEY`] allows
    /// to try them: one that fails says little of the others. They are tried once for each dataset.
    /// What is decoded goes to disk, for whoever measures it.
    pub(crate) fn survey(
        &self,
        id: DatasetId,
        dataset: &Dataset,
        images: &[usize],
        mut failed: Vec<(String, String)>,
    ) -> DatasetError {
        let mine = Arc::clone(
            self.surveys.lock().unwrap_or_else(PoisonError::into_inner).entry(id).or_default(),
        );
        let survey = mine.get_or_init(|| self.try_all(id, dataset, images));
        failed.extend_from_slice(&survey.failed);
        failed.sort();
        failed.dedup_by(|a, b| a.0 == b.0);
        let (dataset, images) = (dataset.name().into(), images.len());
        DatasetError::Unreadable { dataset, failed, tried: survey.tried, images }
    }

    fn try_all(&self, id: DatasetId, dataset: &Dataset, images: &[usize]) -> Survey {
        let began = Instant::now();
        let known = |image| match self.lock().slots.get(&(id, image)) {
            Some(Slot::Ready(_)) => Some(None),
            Some(Slot::Bad(why)) => Some(Some(why.clone())),
            Some(Slot::Busy) | None => None,
        };
        let outcome = |&image: &usize| {
            let outcome = known(image).or_else(|| {
                let in_time = began.elapsed() < SURVEY;
                in_time.then(|| self.decode_one(dataset, image).err())
            })?;
            Some((image, outcome))
        };
        let tried: Vec<(usize, Option<String>)> = images.par_iter().filter_map(outcome).collect();
        let bad = || tried.iter().filter_map(|(image, why)| Some((*image, why.clone()?)));
        self.store(id, bad().map(|(image, why)| (image, Err(why))).collect());
        let failed = bad().map(|(image, why)| (dataset.key(image).into(), why)).collect();
        Survey { failed, tried: tried.len() }
    }

    /// Decodes some images in the background, on `threads` of low priority: meant for the next round
    /// while this one is measured. Returns at once. How many threads the first call decides.
    pub fn prefetch(
        self: &Arc<Self>,
        id: DatasetId,
        dataset: &Dataset,
        images: &[usize],
        threads: usize,
    ) {
        let sender = self.ahead.get_or_init(|| {
            let (sender, jobs) = channel::<Job>();
            let work = move || {
                let pool = rayon::ThreadPoolBuilder::new()
                    .num_threads(threads)
                    .thread_name(|_| "decode-ahead".into())
                    .start_handler(|_| yield_to_others())
                    .build();
                // Without them images are decoded when they are needed.
                let Ok(pool) = pool else { return };
                for job in jobs {
                    pool.install(|| job.cache.run_ahead(job.id, &job.dataset, &job.images));
                }
            };
            let _ = std::thread::Builder::new().name("look-ahead".into()).spawn(work);
            sender
        });
        let images = images.to_vec();
        let job = Job { cache: Arc::clone(self), id, dataset: dataset.clone(), images };
        let _ = sender.send(job);
    }

    /// In order, at most half the budget: what is decoded ahead must not push out
    /// what is in use.
    fn run_ahead(&self, id: DatasetId, dataset: &Dataset, images: &[usize]) {
        let most = images.len().min(self.budget / 2 / self.preprocess.bytes());
        images[..most].par_iter().with_max_len(1).for_each(|&image| {
            let mut state = self.lock();
            if state.slots.contains_key(&(id, image)) {
                return;
            }
            state.slots.insert((id, image), Slot::Busy);
            drop(state);
            self.store(id, vec![(image, self.decode_one(dataset, image))]);
        });
    }

    /// Decodes images that this thread has marked as busy.
    fn decode(
        &self,
        id: DatasetId,
        dataset: &Dataset,
        images: Vec<usize>,
    ) -> Vec<(usize, Decoded)> {
        let decoded: Vec<_> =
            images.into_par_iter().map(|image| (image, self.decode_one(dataset, image))).collect();
        self.store(id, decoded.clone());
        decoded
    }

    fn decode_one(&self, dataset: &Dataset, image: usize) -> Decoded {
        let bytes = dataset.bytes(image).map_err(|error| error.to_string())?;
        let frame = dataset.frame();
        let kept = self.disk.get().map(|disk| {
            (disk, Content::new(&bytes, &format!("{} frame {frame}", self.preprocess.key())))
        });
        let found = kept.as_ref().and_then(|(disk, key)| disk.get(*key, self.preprocess.bytes()));
        if let Some(pixels) = found {
            return Ok(pixels);
        }
        let pixels =
            self.preprocess.decode_within(&bytes, frame).map_err(|error| error.to_string())?;
        if let Some((disk, key)) = kept {
            disk.put(key, &pixels);
        }
        Ok(pixels.into())
    }

    /// Keeps what was decoded, forgets the oldest, wakes who waits.
    fn store(&self, id: DatasetId, decoded: Vec<(usize, Decoded)>) {
        let mut state = self.lock();
        for (image, got) in decoded {
            let slot = match got {
                Ok(pixels) => {
                    state.bytes += pixels.len();
                    state.ages.push_back((id, image));
                    Slot::Ready(pixels)
                }
                Err(why) => Slot::Bad(why),
            };
            state.slots.insert((id, image), slot);
        }
        while state.bytes > self.budget {
            let Some(oldest) = state.ages.pop_front() else { break };
            if let Some(Slot::Ready(pixels)) = state.slots.remove(&oldest) {
                state.bytes -= pixels.len();
            }
        }
        drop(state);
        self.done.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for PixelCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PixelCache")
            .field("preprocess", &self.preprocess)
            .field("budget", &self.budget)
            .finish_non_exhaustive()
    }
}

/// Lets measuring go first: a step further back than its workers. Linux knows
/// a priority per thread; elsewhere the thread is an ordinary one.
fn yield_to_others() {
    #[cfg(target_os = "linux")]
    let _ = rustix::process::setpriority_process(None, 10);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::spec::{DatasetSpec, Role};

    const ID: DatasetId = DatasetId(0);

    /// Eight grey squares, `a/0.pgm` … `a/7.pgm`, of the value 10·i; the last
    /// one is damaged.
    fn dataset(dir: &tempfile::TempDir) -> Dataset {
        std::fs::create_dir(dir.path().join("a")).unwrap();
        for i in 0..8u8 {
            let mut file = b"P5 2 2 255\n".to_vec();
            file.extend([10 * i; 4]);
            file.truncate(if i == 7 { 12 } else { file.len() });
            std::fs::write(dir.path().join(format!("a/{i}.pgm")), file).unwrap();
        }
        let spec = DatasetSpec::new("greys", Role::Id, dir.path());
        Dataset::open(&spec).unwrap()
    }

    fn values(pixels: &[Crop]) -> Vec<u8> {
        pixels.iter().map(|p| p[0]).collect()
    }

    fn same(a: &Crop, b: &Crop) -> bool {
        std::ptr::eq(&raw const **a, &raw const **b)
    }

    #[test]
    fn in_the_order_asked_for_and_twice() {
        let dir = tempfile::tempdir().unwrap();
        let data = dataset(&dir);
        let cache = PixelCache::new(Preprocess::clip(2), 1 << 20);
        let first = cache.pixels(ID, &data, &[3, 0, 3, 6]).unwrap();
        assert_eq!(values(&first), [30, 0, 30, 60]);
        let again = cache.pixels(ID, &data, &[6, 3]).unwrap();
        assert!(same(&again[1], &first[0]));
        assert_eq!(cache.bytes(), 3 * 12);
    }

    #[test]
    fn the_budget_holds_and_the_oldest_go() {
        let dir = tempfile::tempdir().unwrap();
        let data = dataset(&dir);
        let cache = PixelCache::new(Preprocess::clip(2), 30);
        let first = cache.pixels(ID, &data, &[0, 1]).unwrap();
        cache.pixels(ID, &data, &[2]).unwrap();
        assert_eq!(cache.bytes(), 24);
        let again = cache.pixels(ID, &data, &[1, 0]).unwrap();
        assert!(same(&again[0], &first[1]) && !same(&again[1], &first[0]));
        // More than the budget in one call is still all there.
        assert_eq!(
            values(&cache.pixels(ID, &data, &[0, 1, 2, 3, 4]).unwrap()),
            [0, 10, 20, 30, 40]
        );
        assert!(cache.bytes() <= 30);
    }

    #[test]
    fn what_is_kept_on_disk_is_not_decoded_again() {
        let dir = tempfile::tempdir().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let data = dataset(&dir);
        let cache = |size| {
            let cache = PixelCache::new(Preprocess::clip(size), 1 << 20);
            cache.keep_on_disk(folder.path().into(), 1 << 24);
            cache
        };
        let first = cache(80).pixels(ID, &data, &[1, 2]).unwrap();
        // Found by content: what is put there under the image's name comes back.
        let doing = format!("{} frame 0", Preprocess::clip(80).key());
        let key = Content::new(&data.bytes(1).unwrap(), &doing);
        let disk = Disk::new(folder.path().into(), 1 << 24);
        assert_eq!(disk.get(key, 80 * 80 * 3).as_deref(), Some(&*first[0]));
        disk.put(key, &vec![200; 80 * 80 * 3]);
        assert_eq!(values(&cache(80).pixels(ID, &data, &[1, 2]).unwrap()), [200, 20]);
        assert_eq!(values(&cache(81).pixels(ID, &data, &[1]).unwrap()), [10], "another size");
        let files = std::fs::read_dir(folder.path()).unwrap().count();
        cache(2).pixels(ID, &data, &[3]).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), files, "too small to keep");
    }

    #[test]
    fn unreadable_images_are_named_every_time() {
        let dir = tempfile::tempdir().unwrap();
        let data = dataset(&dir);
        let cache = PixelCache::new(Preprocess::clip(2), 1 << 20);
        for _ in 0..2 {
            let message = cache.pixels(ID, &data, &[7, 1]).unwrap_err().to_string();
            assert!(message.contains("`a/7.pgm`") && !message.contains("1.pgm"), "{message}");
        }
        assert_eq!(values(&cache.pixels(ID, &data, &[1]).unwrap()), [10]);
    }

    #[test]
    fn a_survey_names_all_of_a_dataset_with_what_failed_since() {
        let dir = tempfile::tempdir().unwrap();
        let data = dataset(&dir);
        std::fs::write(dir.path().join("a/2.pgm"), b"").unwrap();
        let cache = PixelCache::new(Preprocess::clip(2), 1 << 20);
        let of = |images: &[usize]| {
            let Err(DatasetError::Unreadable { failed, .. }) = cache.pixels(ID, &data, images)
            else {
                panic!("readable");
            };
            cache.survey(ID, &data, &[7, 1, 2, 3], failed).to_string()
        };
        let message = of(&[7]);
        assert!(message.contains("2 of the 4 images cannot be decoded: `a/2.pgm`"), "{message}");
        assert!(message.contains("`a/7.pgm`"), "{message}");
        std::fs::remove_file(dir.path().join("a/3.pgm")).unwrap();
        let message = of(&[3]);
        assert!(message.contains("3 of the 4 images cannot"), "{message}");
    }

    #[test]
    fn threads_share_the_work() {
        let dir = tempfile::tempdir().unwrap();
        let data = dataset(&dir);
        let cache = Arc::new(PixelCache::new(Preprocess::clip(2), 60));
        std::thread::scope(|scope| {
            for turn in 0..4 {
                let (cache, data) = (&cache, &data);
                scope.spawn(move || {
                    for i in 0..50 {
                        let want = [(i + turn) % 7, (i * turn) % 7];
                        cache.prefetch(ID, data, &[(i + 1) % 7], 2);
                        let got = values(&cache.pixels(ID, data, &want).unwrap());
                        assert_eq!(got, want.map(|i| 10 * i as u8));
                    }
                });
            }
        });
        assert!(cache.bytes() <= 60);
    }
}
