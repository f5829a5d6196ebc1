"""The style sheet of the report pages: system type, neutral colours, light and dark, any width."""

from __future__ import annotations

__all__ = ["CSS"]

CSS = """
:root { color-scheme: light dark; --paper: #fff; --card: #f6f7f9; --ink: #1f2329; --quiet: #5d6570;
  --line: #dfe3e8; --accent: #1f6fd6; --good: #1a7f4b; --bad: #b3402a; }
@media (prefers-color-scheme: dark) { :root { --paper: #121519; --card: #1a1e24; --ink: #e4e7eb;
  --quiet: #9aa3ae; --line: #2c323a; --accent: #6cb0ff; --good: #4cc38a; --bad: #f08a70; } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
main { max-width: 66rem; margin: 0 auto; padding: 3rem 1.25rem 4rem; }
header { margin-bottom: 2rem; }
h1 { font-size: clamp(1.6rem, 1.1rem + 2.2vw, 2.3rem); line-height: 1.15; letter-spacing: -.02em;
  margin: 0 0 .6rem; text-wrap: balance; }
h2 { font-size: 1.22rem; letter-spacing: -.01em; margin: 3rem 0 .4rem; padding-top: 1.1rem;
  border-top: 1px solid var(--line); }
p { margin: .5rem 0 1rem; max-width: 46rem; }
header p { font-size: 1.08rem; color: var(--quiet); }
.quiet, figcaption, caption { color: var(--quiet); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .8rem;
  margin: 1.6rem 0 0; padding: 0; }
.tiles > div { background: var(--card); border: 1px solid var(--line); border-radius: .6rem;
  padding: .8rem 1rem .9rem; display: flex; flex-direction: column-reverse;
  justify-content: flex-end; }
.tiles dt { font-size: .84rem; line-height: 1.35; color: var(--quiet); }
.tiles dd { margin: 0; font-size: 1.7rem; line-height: 1.3; font-weight: 650;
  letter-spacing: -.02em; font-variant-numeric: tabular-nums; }
.tiles > div:first-child dd { color: var(--accent); }
.scroll { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-size: .9rem; padding-bottom: .4rem; }
th, td { text-align: left; padding: .5rem .9rem .5rem 0; border-bottom: 1px solid var(--line);
  vertical-align: middle; white-space: nowrap; }
thead th { font-size: .84rem; font-weight: 600; color: var(--quiet); }
tbody th { font-weight: 600; }
tr.quiet th { font-weight: 400; color: var(--quiet); }
.number { text-align: right; padding-right: .9rem; }
td.bar { min-width: 13rem; width: 46%; }
td.bar > div { display: flex; align-items: center; gap: .7rem; }
.track { flex: 1; height: .62rem; border-radius: .31rem; background: var(--card);
  box-shadow: inset 0 0 0 1px var(--line); overflow: hidden; }
.track i { display: block; height: 100%; background: var(--accent); border-radius: .31rem; }
.quiet .track i { background: var(--quiet); opacity: .55; }
.amount { min-width: 7.2rem; text-align: right; }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(22rem, 100%), 1fr));
  gap: 1.2rem; margin: 1rem 0; align-items: start; }
.columns.narrow { grid-template-columns: repeat(auto-fill, minmax(min(15rem, 100%), 1fr)); }
figure { margin: 1rem 0; min-width: 0; }
.columns > figure { margin: 0; }
figure img { display: block; width: 100%; height: auto; border-radius: .5rem; background: #15181d; }
figure .still { width: auto; max-width: 100%; }
figure.drawing > div { overflow-x: auto; }
figure svg { display: block; width: 100%; height: auto; min-width: 19rem; }
figure.wide svg { min-width: 42rem; }
figcaption { font-size: .9rem; line-height: 1.45; margin-top: .5rem; }
.badge { display: inline-block; font-size: .78rem; font-weight: 600; line-height: 1.5;
  padding: 0 .5rem; border-radius: 1rem; border: 1px solid currentColor; margin-right: .4rem; }
.good { color: var(--good); } .bad { color: var(--bad); }
dl.facts { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1.4rem; margin: 1rem 0;
  font-size: .95rem; }
dl.facts dt { color: var(--quiet); } dl.facts dd { margin: 0; overflow-wrap: anywhere; }
pre { background: var(--card); border: 1px solid var(--line); border-radius: .6rem;
  padding: .8rem 1rem; overflow-x: auto; font-size: .88rem; line-height: 1.5; }
pre, code { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
@media (max-width: 40rem) { .track { display: none; } td.bar { min-width: 0; width: auto; }
  .amount { min-width: 0; text-align: left; } }
@media (max-width: 32rem) { main { padding-top: 1.6rem; } dl.facts { grid-template-columns: 1fr;
  gap: 0; } dl.facts dd { margin-bottom: .6rem; } }
@media print { main { max-width: none; padding: 0; } figure, tr { break-inside: avoid; } }
""".strip()
