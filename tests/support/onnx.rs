//! The smallest ONNX writer that can lie.

fn varint(mut v: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while v >= 128 {
        out.push(v as u8 | 128);
        v >>= 7;
    }
    out.push(v as u8);
    out
}

fn number(field: u64, v: u64) -> Vec<u8> {
    [varint(field << 3), varint(v)].concat()
}

fn bytes(field: u64, b: &[u8]) -> Vec<u8> {
    [varint(field << 3 | 2), varint(b.len() as u64), b.to_vec()].concat()
}

fn value(name: &str, dims: &[u64]) -> Vec<u8> {
    let shape: Vec<u8> = dims.iter().flat_map(|d| bytes(1, &number(1, *d))).collect();
    let tensor = [number(1, 1), bytes(2, &shape)].concat();
    [bytes(1, name.as_bytes()), bytes(2, &bytes(1, &tensor))].concat()
}

/// A network that ignores its input [1, 3, side, side] and answers `answer`; with `external` the values stand in
/// another file.
#[allow(dead_code)]
pub fn constant(side: u64, output: &str, answer: &[f32], external: Option<&str>) -> Vec<u8> {
    write("input", side, output, answer, external)
}

/// The same with an input of another name.
#[allow(dead_code)]
pub fn constant_named(input: &str, side: u64, output: &str, answer: &[f32]) -> Vec<u8> {
    write(input, side, output, answer, None)
}

fn write(input: &str, side: u64, output: &str, answer: &[f32], external: Option<&str>) -> Vec<u8> {
    let len = answer.len() as u64;
    let values: Vec<u8> = answer.iter().flat_map(|v| v.to_le_bytes()).collect();
    let data = match external {
        None => bytes(9, &values),
        Some(file) => {
            let entry = [bytes(1, b"location"), bytes(2, file.as_bytes())].concat();
            [bytes(13, &entry), number(14, 1)].concat()
        }
    };
    let tensor = [number(1, 1), number(1, len), number(2, 1), bytes(8, b"answer"), data].concat();
    let node = [bytes(1, b"answer"), bytes(2, output.as_bytes()), bytes(4, b"Identity")].concat();
    let graph = [
        bytes(1, &node),
        bytes(2, b"constant"),
        bytes(5, &tensor),
        bytes(11, &value(input, &[1, 3, side, side])),
        bytes(12, &value(output, &[1, len])),
    ]
    .concat();
    [number(1, 8), bytes(7, &graph), bytes(8, &number(2, 13))].concat()
}
