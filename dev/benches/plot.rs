//! Turns the tables of a benchmark into pictures:
//!
//! ```text
//! cargo bench -p gssdk-benches --bench distance | cargo run -p gssdk-benches --bin plot -- docs
//! ```
//!
//! It passes on what it reads, and writes an SVG for every Markdown table of numbers, named
//! after the table's first column. That column is the horizontal axis, each other column a
//! line, and the last line of text before the table the title.

use std::io::{BufRead, stdin};
use std::path::Path;

/// The size of a picture, and the edge around its axes.
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 400.0;
const EDGE: f64 = 60.0;

const COLORS: [&str; 5] = ["#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e"];

struct Table {
    title: String,
    x: String,
    names: Vec<String>,
    rows: Vec<Vec<f64>>,
}

fn main() -> std::io::Result<()> {
    let folder = std::env::args().nth(1).unwrap_or_else(|| ".".into());
    let mut title = String::new();
    let mut table: Option<Table> = None;
    // An empty line ends a table.
    for line in stdin().lock().lines().chain([Ok(String::new())]) {
        let line = line?;
        println!("{line}");
        let cells = line
            .strip_prefix('|')
            .and_then(|line| line.strip_suffix('|'));
        let cells = cells.map(|cells| cells.split('|').map(str::trim));
        match (cells, &mut table) {
            (Some(mut cells), None) => {
                table = Some(Table {
                    title: title.trim_end_matches(':').to_string(),
                    x: cells.next().unwrap_or_default().to_string(),
                    names: cells.map(str::to_string).collect(),
                    rows: Vec::new(),
                });
            }
            (Some(cells), Some(table)) => {
                let numbers: Option<Vec<f64>> = cells.map(|cell| cell.parse().ok()).collect();
                table.rows.extend(numbers);
            }
            (None, _) => {
                if let Some(table) = table.take().filter(|table| !table.rows.is_empty()) {
                    let words = table.x.split(|c: char| !c.is_alphanumeric());
                    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
                    let path = Path::new(&folder).join(format!("{}.svg", words.join("-")));
                    std::fs::write(&path, table.svg())?;
                    eprintln!("wrote {}", path.display());
                }
                if !line.is_empty() {
                    title = line;
                }
            }
        }
    }
    Ok(())
}

impl Table {
    fn svg(&self) -> String {
        let largest = |column: &dyn Fn(&Vec<f64>) -> f64| {
            self.rows
                .iter()
                .map(column)
                .fold(f64::MIN_POSITIVE, f64::max)
        };
        let most_x = largest(&|row| row[0]);
        let most_y = largest(&|row| row[1..].iter().copied().fold(0.0, f64::max));
        let step = step(most_y);
        let most_y = (most_y / step).ceil() * step;
        let x = |value: f64| EDGE + value / most_x * (WIDTH - 2.0 * EDGE);
        let y = |value: f64| HEIGHT - EDGE - value / most_y * (HEIGHT - 2.0 * EDGE);

        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             font-family=\"sans-serif\" font-size=\"13\">\n\
             <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n"
        );
        let text = |at: (f64, f64), anchor: &str, color: &str, text: &str| {
            let text = text.replace('&', "&amp;").replace('<', "&lt;");
            let (x, y) = at;
            format!(
                "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"{color}\">{text}</text>\n"
            )
        };
        svg += &text((WIDTH / 2.0, 24.0), "middle", "black", &self.title);
        svg += &text((WIDTH / 2.0, HEIGHT - 14.0), "middle", "black", &self.x);
        for tick in 0..=(most_y / step).round() as u32 {
            let value = f64::from(tick) * step;
            let (left, right, at) = (EDGE, WIDTH - EDGE, y(value));
            svg += &format!("<path d=\"M{left:.1} {at:.1}H{right:.1}\" stroke=\"#ddd\"/>\n");
            svg += &text((EDGE - 8.0, at + 4.0), "end", "black", &value.to_string());
        }
        for row in &self.rows {
            let at = (x(row[0]), HEIGHT - EDGE + 18.0);
            svg += &text(at, "middle", "black", &row[0].to_string());
        }
        for (i, name) in self.names.iter().enumerate() {
            let color = COLORS[i % COLORS.len()];
            let points = self.rows.iter().map(|row| {
                let (x, y) = (x(row[0]), y(row[i + 1]));
                format!("{x:.1},{y:.1}")
            });
            let points = points.collect::<Vec<_>>().join(" ");
            svg += &format!(
                "<polyline points=\"{points}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"2\"/>\n"
            );
            let at = (EDGE + 12.0, EDGE + 16.0 * (i as f64) - 8.0);
            svg += &text(at, "start", color, name);
        }
        svg + "</svg>\n"
    }
}

/// A round number, about a fifth of the largest value.
fn step(most: f64) -> f64 {
    let rough = most / 5.0;
    let power = 10f64.powf(rough.log10().floor());
    let round = [1.0, 2.0, 5.0, 10.0];
    let factor = round.into_iter().find(|factor| factor * power >= rough);
    factor.unwrap_or(10.0) * power
}
