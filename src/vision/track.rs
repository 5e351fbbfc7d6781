//! Follows points from picture to picture: pyramidal Lucas-Kanade, after J.-Y. Bouguet, *Pyramidal Implementation of
//! the Affine Lucas Kanade Feature Tracker* (2001), with Scharr gradients and the stops of OpenCV's
//! `calcOpticalFlowPyrLK`, with which the limits in [`super::relief`] were measured.
//!
//! Coordinates are those of pixel centres. Pixel i of a level lies on pixel 2 i of the level below.

use super::align::Point;

/// Pixels of a window of the usual search and of the wide one for slow cameras.
pub const WINDOW: usize = 19;
pub const WIDE: usize = 31;
/// Levels of a pyramid, the picture itself included.
const LEVELS: usize = 4;
/// Steps at each level, and the length of a step in pixels that ends them.
const STEPS: usize = 20;
const STILL: f32 = 0.02;
/// Smaller eigenvalue of the mean gradient matrix, in squared grey levels a pixel, below which a window has nothing to
/// hold on to. OpenCV's default of 1e-4 in its own units.
const TEXTURE: f32 = 0.1;
/// A point that comes back farther than this from where it began is lost, in pixels on each axis.
const RETURN: f32 = 1.0;

/// One size of a picture with its gradients.
struct Level {
    width: usize,
    height: usize,
    grey: Vec<f32>,
    dx: Vec<f32>,
    dy: Vec<f32>,
}

/// A grey picture in four sizes.
pub struct Pyramid(Vec<Level>);

impl Pyramid {
    /// From one byte a pixel. A picture whose bytes are not `width * height` is taken as empty: nothing is found in it.
    #[must_use]
    pub fn new(width: usize, height: usize, grey: &[u8]) -> Self {
        if width == 0 || height == 0 || grey.len() != width * height {
            return Pyramid(Vec::new());
        }
        let mut levels: Vec<Level> = Vec::with_capacity(LEVELS);
        let mut now = (width, height, grey.iter().map(|v| f32::from(*v)).collect::<Vec<f32>>());
        for _ in 0..LEVELS {
            let (w, h, grey) = now;
            let (dx, dy) = gradients(w, h, &grey);
            now = halved(w, h, &grey);
            levels.push(Level { width: w, height: h, grey, dx, dy });
        }
        Pyramid(levels)
    }
}

/// Smoothed with 1 4 6 4 1 on each axis and every second pixel taken.
fn halved(width: usize, height: usize, grey: &[f32]) -> (usize, usize, Vec<f32>) {
    let (w, h) = (width.div_ceil(2), height.div_ceil(2));
    let mut across = vec![0.0; w * height];
    for (row, out) in grey.chunks_exact(width).zip(across.chunks_exact_mut(w)) {
        for (x, o) in out.iter_mut().enumerate() {
            let c = 2 * x;
            *o = if c >= 2 && c + 2 < width {
                let t = &row[c - 2..c + 3];
                t[0] + t[4] + 4.0 * (t[1] + t[3]) + 6.0 * t[2]
            } else {
                let at = |d: isize| row[c.saturating_add_signed(d).min(width - 1)];
                at(-2) + at(2) + 4.0 * (at(-1) + at(1)) + 6.0 * at(0)
            };
        }
    }
    let mut out = vec![0.0; w * h];
    for (y, o) in out.chunks_exact_mut(w).enumerate() {
        let row = |d: isize| {
            let at = (2 * y).saturating_add_signed(d).min(height - 1);
            &across[at * w..(at + 1) * w]
        };
        let (a, b, c, d, e) = (row(-2), row(-1), row(0), row(1), row(2));
        for x in 0..w {
            o[x] = (a[x] + e[x] + 4.0 * (b[x] + d[x]) + 6.0 * c[x]) / 256.0;
        }
    }
    (w, h, out)
}

/// Scharr's derivatives in grey levels a pixel; the outermost pixels go on beyond the edge.
fn gradients(width: usize, height: usize, grey: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let (mut dx, mut dy) = (vec![0.0; width * height], vec![0.0; width * height]);
    let (mut smooth, mut diff) = (vec![0.0_f32; width + 2], vec![0.0_f32; width + 2]);
    for y in 0..height {
        let row = |y: usize| &grey[y * width..(y + 1) * width];
        let (a, b, c) = (row(y.saturating_sub(1)), row(y), row((y + 1).min(height - 1)));
        for x in 0..width {
            smooth[x + 1] = 3.0 * (a[x] + c[x]) + 10.0 * b[x];
            diff[x + 1] = c[x] - a[x];
        }
        for edge in [&mut smooth, &mut diff] {
            edge[0] = edge[1];
            edge[width + 1] = edge[width];
        }
        let at = y * width..(y + 1) * width;
        for (x, (gx, gy)) in dx[at.clone()].iter_mut().zip(&mut dy[at]).enumerate() {
            *gx = (smooth[x + 2] - smooth[x]) / 32.0;
            *gy = (3.0 * (diff[x] + diff[x + 2]) + 10.0 * diff[x + 1]) / 32.0;
        }
    }
    (dx, dy)
}

/// A square cut out of a plane around `centre`, between pixels where that falls there.
type Patch<const W: usize> = [[f32; W]; W];

fn cut<const W: usize>(width: usize, height: usize, plane: &[f32], centre: Point, out: &mut Patch<W>) {
    let half = (W / 2) as f32;
    // Far away from any picture the nearest edge is all that there is; the clamp keeps the sums within their type.
    let [x, y] = centre.map(|v| (v - half).clamp(-1e6, 1e6));
    let (ix, iy) = (x.floor(), y.floor());
    let (fx, fy) = (x - ix, y - iy);
    let (ix, iy) = (ix as isize, iy as isize);
    let weights = [(1.0 - fx) * (1.0 - fy), fx * (1.0 - fy), (1.0 - fx) * fy, fx * fy];
    let inside = ix >= 0 && iy >= 0 && ix as usize + W < width && iy as usize + W < height;
    for (r, line) in out.iter_mut().enumerate() {
        if inside {
            let at = (iy as usize + r) * width + ix as usize;
            let (a, b) = (&plane[at..=at + W], &plane[at + width..=at + width + W]);
            for (c, o) in line.iter_mut().enumerate() {
                *o = a[c] * weights[0] + a[c + 1] * weights[1] + b[c] * weights[2] + b[c + 1] * weights[3];
            }
        } else {
            let row = |d: isize| (iy + r as isize + d).clamp(0, height as isize - 1) as usize * width;
            let (a, b) = (row(0), row(1));
            for (c, o) in line.iter_mut().enumerate() {
                let column = |d: isize| (ix + c as isize + d).clamp(0, width as isize - 1) as usize;
                let (l, r) = (column(0), column(1));
                *o = plane[a + l] * weights[0]
                    + plane[a + r] * weights[1]
                    + plane[b + l] * weights[2]
                    + plane[b + r] * weights[3];
            }
        }
    }
}

/// Sum of the products of two patches, column by column first, so that the compiler may take several at once.
fn dot<const W: usize>(a: &Patch<W>, b: &Patch<W>) -> f32 {
    let mut sums = [0.0_f32; W];
    for (ra, rb) in a.iter().zip(b) {
        for c in 0..W {
            sums[c] += ra[c] * rb[c];
        }
    }
    sums.iter().sum()
}

/// Where the point `p` of `from` lies in `to`, sought from `guess` on; `None` where nothing can be held on to or the
/// search leaves the picture.
fn seek<const W: usize>(from: &Pyramid, to: &Pyramid, p: Point, guess: Point) -> Option<Point> {
    let levels = from.0.len().min(to.0.len());
    let mut at = guess;
    let mut found = false;
    let (mut grey, mut dx, mut dy, mut there) = ([[0.0; W]; W], [[0.0; W]; W], [[0.0; W]; W], [[0.0; W]; W]);
    for i in (0..levels).rev() {
        let (a, b) = (&from.0[i], &to.0[i]);
        let scale = (1_u32 << i) as f32;
        let centre = p.map(|v| v / scale);
        let mut now = at.map(|v| v / scale);
        cut(a.width, a.height, &a.grey, centre, &mut grey);
        cut(a.width, a.height, &a.dx, centre, &mut dx);
        cut(a.width, a.height, &a.dy, centre, &mut dy);
        let (xx, xy, yy) = (dot(&dx, &dx), dot(&dx, &dy), dot(&dy, &dy));
        let least = (xx + yy - ((xx - yy).powi(2) + 4.0 * xy * xy).sqrt()) / 2.0 / (W * W) as f32;
        let det = xx * yy - xy * xy;
        found = least >= TEXTURE && det > f32::EPSILON;
        if !found {
            continue;
        }
        let mut before = [0.0_f32; 2];
        for step in 0..STEPS {
            cut(b.width, b.height, &b.grey, now, &mut there);
            for (t, g) in there.iter_mut().zip(&grey) {
                for c in 0..W {
                    t[c] -= g[c];
                }
            }
            let (ex, ey) = (dot(&there, &dx), dot(&there, &dy));
            let delta = [(xy * ey - yy * ex) / det, (xy * ex - xx * ey) / det];
            now = [now[0] + delta[0], now[1] + delta[1]];
            if delta[0].hypot(delta[1]) <= STILL {
                break;
            }
            // Back and forth over the same place: the middle is the best that there is.
            if step > 0 && (delta[0] + before[0]).abs() < 0.01 && (delta[1] + before[1]).abs() < 0.01 {
                now = [now[0] - delta[0] / 2.0, now[1] - delta[1] / 2.0];
                break;
            }
            before = delta;
        }
        at = now.map(|v| v * scale);
    }
    let ground = to.0.first()?;
    let inside = at[0] >= 0.0 && at[1] >= 0.0 && at[0] < ground.width as f32 && at[1] < ground.height as f32;
    (found && inside).then_some(at)
}

/// Where a point of `from` lies in `to`; `None` when it is lost, which is also said of a point that does not come back
/// to where it began when it is followed backwards. `shift` is how far everything is expected to have moved, in
/// pixels; `W` is the side of the window.
#[must_use]
pub fn follow<const W: usize>(from: &Pyramid, to: &Pyramid, p: Point, shift: Point) -> Option<Point> {
    let there = seek::<W>(from, to, p, [p[0] + shift[0], p[1] + shift[1]])?;
    let back = seek::<W>(to, from, there, [there[0] - shift[0], there[1] - shift[1]])?;
    ((back[0] - p[0]).abs() < RETURN && (back[1] - p[1]).abs() < RETURN).then_some(there)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cloth of waves, `grey(x, y)` at any position, so that pictures moved by parts of a pixel are exact.
    fn waves(x: f32, y: f32) -> f32 {
        128.0
            + 40.0 * (x * 0.21 + y * 0.05).sin()
            + 40.0 * (y * 0.17 - x * 0.07).cos()
            + 20.0 * (x * 0.045).sin() * (y * 0.06).cos()
    }

    fn picture(side: usize, at: impl Fn(f32, f32) -> f32) -> Pyramid {
        let grey: Vec<u8> = (0..side * side)
            .map(|i| at((i % side) as f32, (i / side) as f32).round().clamp(0.0, 255.0) as u8)
            .collect();
        Pyramid::new(side, side, &grey)
    }

    #[test]
    fn a_moved_cloth_is_followed_to_parts_of_a_pixel() {
        let from = picture(160, waves);
        for (dx, dy) in [(0.0, 0.0), (0.4, -0.3), (5.25, 3.5), (-14.0, 9.0)] {
            let to = picture(160, |x, y| waves(x - dx, y - dy));
            for p in [[60.0, 60.0], [80.5, 71.25], [101.0, 90.0]] {
                let q = follow::<WINDOW>(&from, &to, p, [0.0; 2]).expect("followed");
                let off = (q[0] - p[0] - dx).hypot(q[1] - p[1] - dy);
                assert!(off < 0.1, "{p:?} moved by {dx} {dy} was found at {q:?}");
            }
        }
    }

    #[test]
    fn what_is_expected_lets_the_search_begin_far_away() {
        let from = picture(300, waves);
        let to = picture(300, |x, y| waves(x - 60.0, y - 40.0));
        let q = follow::<WINDOW>(&from, &to, [100.0, 100.0], [58.0, 43.0]).expect("followed");
        assert!((q[0] - 160.0).hypot(q[1] - 140.0) < 0.1, "{q:?}");
    }

    #[test]
    fn a_wall_gives_nothing_to_hold_on_to() {
        let wall = picture(100, |_, _| 90.0);
        assert_eq!(follow::<WINDOW>(&wall, &wall, [50.0, 50.0], [0.0; 2]), None);
        // An edge alone does not tell how far one moved along it.
        let edge = picture(100, |x, _| if x < 50.0 { 30.0 } else { 200.0 });
        assert_eq!(follow::<WINDOW>(&edge, &edge, [50.0, 50.0], [0.0; 2]), None);
    }

    #[test]
    fn what_is_covered_is_lost() {
        let from = picture(160, waves);
        let to =
            picture(160, |x, y| if (x - 80.0).hypot(y - 80.0) < 30.0 { waves(y * 1.7, x * 2.3) } else { waves(x, y) });
        assert_eq!(follow::<WINDOW>(&from, &to, [80.0, 80.0], [0.0; 2]), None);
        assert!(follow::<WINDOW>(&from, &to, [30.0, 30.0], [0.0; 2]).is_some());
    }

    #[test]
    fn points_outside_and_pictures_without_pixels_are_lost_and_harm_nobody() {
        let from = picture(64, waves);
        for p in [[-500.0, 3.0], [1e30, -1e30], [f32::NAN, 2.0], [f32::INFINITY, 0.0]] {
            assert_eq!(follow::<WINDOW>(&from, &from, p, [0.0; 2]), None, "{p:?}");
        }
        let empty = Pyramid::new(4, 4, &[0; 3]);
        assert_eq!(follow::<WIDE>(&from, &empty, [30.0, 30.0], [0.0; 2]), None);
        let tiny = Pyramid::new(1, 1, &[7]);
        assert_eq!(follow::<WIDE>(&tiny, &tiny, [0.0, 0.0], [0.0; 2]), None);
    }

    #[test]
    fn gradients_are_grey_levels_a_pixel() {
        let ramp: Vec<f32> = (0..100).map(|i| 3.0 * (i % 10) as f32 + 7.0 * (i / 10) as f32).collect();
        let (dx, dy) = gradients(10, 10, &ramp);
        assert!((dx[55] - 3.0).abs() < 1e-4 && (dy[55] - 7.0).abs() < 1e-4, "{} {}", dx[55], dy[55]);
    }
}
