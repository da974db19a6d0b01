/**
 * Products of matrices in typed arrays, row after row: the heavy work of training.
 */

/**
 * c[m, n] += a[m, k] · b[n, k]ᵀ from places aAt, bAt, cAt on. Tiles of 2 x 4 sums: six loads for eight products.
 * @param {Float64Array} a @param {number} aAt @param {Float64Array} b @param {number} bAt
 * @param {Float64Array} c @param {number} cAt @param {number} m @param {number} n @param {number} k
 */
export function product(a, aAt, b, bAt, c, cAt, m, n, k) {
  const rows = m - m % 2, columns = n - n % 4;
  for (let i = 0; i < rows; i += 2) {
    const a0 = aAt + i * k, a1 = a0 + k;
    for (let j = 0; j < columns; j += 4) {
      const b0 = bAt + j * k, b1 = b0 + k, b2 = b1 + k, b3 = b2 + k, o = cAt + i * n + j;
      let s0 = 0, s1 = 0, s2 = 0, s3 = 0, r0 = 0, r1 = 0, r2 = 0, r3 = 0;
      for (let q = 0; q < k; q++) {
        const x = a[a0 + q], y = a[a1 + q], w0 = b[b0 + q], w1 = b[b1 + q], w2 = b[b2 + q], w3 = b[b3 + q];
        s0 += x * w0; s1 += x * w1; s2 += x * w2; s3 += x * w3;
        r0 += y * w0; r1 += y * w1; r2 += y * w2; r3 += y * w3;
      }
      c[o] += s0; c[o + 1] += s1; c[o + 2] += s2; c[o + 3] += s3;
      c[o + n] += r0; c[o + n + 1] += r1; c[o + n + 2] += r2; c[o + n + 3] += r3;
    }
  }
  if (columns < n) edge(a, aAt, b, bAt, c, cAt, 0, m, columns, n, n, k);
  if (rows < m) edge(a, aAt, b, bAt, c, cAt, rows, m, 0, columns, n, k);
}

/** The sums that the tiles leave out: rows from i0 to m, columns from j0 to j1 of n. */
function edge(a, aAt, b, bAt, c, cAt, i0, m, j0, j1, n, k) {
  for (let i = i0; i < m; i++) for (let j = j0; j < j1; j++) {
    let s = 0;
    for (let q = 0, x = aAt + i * k, w = bAt + j * k; q < k; q++, x++, w++) s += a[x] * b[w];
    c[cAt + i * n + j] += s;
  }
}

/**
 * out[columns, rows] = a[rows, columns] turned; a begins at `from`.
 * @param {Float64Array} a @param {number} from @param {number} rows @param {number} columns
 */
export function turned(a, from, rows, columns, out = new Float64Array(rows * columns)) {
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) out[c * rows + r] = a[from + r * columns + c];
  return out;
}

/**
 * sum[columns] += the rows of a[rows, columns].
 * @param {Float64Array} a @param {number} rows @param {number} columns @param {Float64Array} sum
 */
export function addRows(a, rows, columns, sum) {
  for (let r = 0, at = 0; r < rows; r++) for (let c = 0; c < columns; c++, at++) sum[c] += a[at];
}
