// Builds, writes and reads JSON documents for a second or so.
const documents = Array.from({length: 5000}, (_, i) => ({
  id: i, name: `order ${i}`, lines: Array.from({length: 20}, (_, j) => ({sku: String(i * j), amount: j})),
}));
let total = 0;
for (let i = 0; i < 12; ++i) total += JSON.parse(JSON.stringify(documents)).length;
console.log(total);
