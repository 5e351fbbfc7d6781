//! Known answers: does a network still compute what it computed when its thresholds were measured?
//!
//! The digest says that the file is the manifest's; the known answer says that the file, this runtime and this processor
//! together give the numbers that the thresholds stand on.

use super::manifest::KnownAnswer;
use crate::vision::family::InputSpec;
use ndarray::{Array4, ArrayD};

/// The fixed input: `x[i]` = lo + (hi - lo) * ((i * 7919) mod 1009) / 1008 over the flat tensor.
#[must_use]
pub fn input(spec: &InputSpec) -> Array4<f32> {
    let [n, c, h, w] = spec.shape;
    let (lo, hi) = (f64::from(spec.lo), f64::from(spec.hi));
    let flat = (0..n * c * h * w).map(|i| (lo + (hi - lo) * ((i * 7919) % 1009) as f64 / 1008.0) as f32).collect();
    Array4::from_shape_vec((n, c, h, w), flat).expect("as many values as the shape has")
}

/// Compares outputs, named and in the manifest's order, with what they must be.
///
/// # Errors
/// The first difference: which output, which value, got and wanted.
pub fn check(known: &KnownAnswer, names: &[String], outputs: &[ArrayD<f32>]) -> Result<(), String> {
    for want in &known.output {
        let array = names
            .iter()
            .position(|n| *n == want.name)
            .and_then(|i| outputs.get(i))
            .ok_or_else(|| format!("output {} is missing", want.name))?;
        let reach = want.first8.iter().fold(1.0_f64, |m, v| m.max(v.abs())) * known.tolerance;
        for (i, wanted) in want.first8.iter().enumerate() {
            let got = array.iter().nth(i).map_or(f64::NAN, |v| f64::from(*v));
            // In this direction NaN is a difference.
            let close = (got - wanted).abs() <= reach;
            if !close {
                return Err(format!("{}[{i}] is {got:.5} instead of {wanted:.5}", want.name));
            }
        }
        let l2 = array.iter().map(|v| f64::from(*v) * f64::from(*v)).sum::<f64>().sqrt();
        let close = (l2 - want.l2).abs() <= known.tolerance * want.l2;
        if !close {
            return Err(format!("length of {} is {l2:.4} instead of {:.4}", want.name, want.l2));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::manifest::KnownOutput;
    use super::*;
    use crate::vision::family::Order;

    fn known() -> KnownAnswer {
        let output = vec![KnownOutput { name: "b".into(), first8: vec![30.0, 0.5], l2: 50.0 }];
        KnownAnswer { tolerance: 0.01, output }
    }

    fn answer(b: [f32; 3]) -> Result<(), String> {
        let names = ["a".to_owned(), "b".to_owned()];
        let b = ArrayD::from_shape_vec(vec![1, 3], b.to_vec()).unwrap();
        check(&known(), &names, &[ArrayD::zeros(vec![1, 1]), b])
    }

    #[test]
    fn the_input_follows_its_formula() {
        let spec = InputSpec { name: "x".into(), shape: [1, 3, 2, 2], order: Order::Rgb, lo: -1.0, hi: 1.0 };
        let x = input(&spec);
        // 7919 mod 1009 = 856; 2 * 7919 mod 1009 = 703.
        assert_eq!(x[[0, 0, 0, 0]], -1.0);
        assert!((x[[0, 0, 0, 1]] - (-1.0 + 2.0 * 856.0 / 1008.0)).abs() < 1e-6);
        assert!((x[[0, 0, 1, 0]] - (-1.0 + 2.0 * 703.0 / 1008.0)).abs() < 1e-6);
    }

    #[test]
    fn an_answer_within_the_tolerance_is_known() {
        assert_eq!(answer([30.0, 0.5, 40.0]), Ok(()));
        assert_eq!(answer([30.29, 0.21, 40.0]), Ok(()));
    }

    #[test]
    fn a_value_or_a_length_that_differs_is_told_apart() {
        assert!(answer([30.4, 0.5, 40.0]).unwrap_err().starts_with("b[0] is 30.4"));
        assert!(answer([30.0, 0.9, 40.0]).unwrap_err().starts_with("b[1]"));
        assert!(answer([30.0, 0.5, 43.0]).unwrap_err().starts_with("length of b"));
        assert!(answer([f32::NAN, 0.5, 40.0]).is_err());
        assert!(answer([30.0, 0.5, f32::NAN]).is_err());
        assert!(check(&known(), &["a".into()], &[ArrayD::zeros(vec![1, 1])]).unwrap_err().contains("missing"));
        assert!(check(&known(), &["b".into()], &[ArrayD::zeros(vec![0])]).is_err());
    }
}
