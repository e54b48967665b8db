"""The page of an audit, as a jinja2 template with its style inside."""

# ruff: noqa: E501

STYLE = """
:root { color-scheme: light dark; --ground: #f7f7f4; --card: #ffffff; --ink: #1c2024; --soft: #667079; --line: #e2e4e0;
  --stop: #b3261e; --warn: #9a6700; --note: #2a6f97; --train: #2a6f97; --validation: #e09f3e; --test: #9e2a2b; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #14171a; --card: #1c2126; --ink: #e6e8ea; --soft: #98a2ab; --line: #2e353c;
    --stop: #ff8a80; --warn: #f0c36d; --note: #7fc4e8; --train: #5aa9d6; --validation: #f0c36d; --test: #e5707e; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); line-height: 1.55;
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", "Noto Sans", "PingFang SC", "Microsoft YaHei",
  "Noto Sans CJK SC", sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 2.5rem 1.25rem 5rem; }
h1 { font-size: 1.9rem; margin: 0 0 .25rem; letter-spacing: -.01em; }
h2 { font-size: 1.2rem; margin: 2.75rem 0 .75rem; }
h3 { font-size: 1.05rem; margin: 0; }
p { margin: .35rem 0; }
.soft { color: var(--soft); }
.verdict { font-size: 1.15rem; border-left: 4px solid; padding: .4rem 0 .4rem .9rem; margin: 1.25rem 0; }
.verdict.stop, .badge.stop { color: var(--stop); border-color: var(--stop); }
.verdict.warn, .badge.warn { color: var(--warn); border-color: var(--warn); }
.verdict.note, .badge.note { color: var(--note); border-color: var(--note); }
.tiles { display: flex; flex-wrap: wrap; gap: .75rem; }
.tile, article { background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
.tile { padding: .7rem 1rem; min-width: 8rem; }
.tile b { display: block; font-size: 1.5rem; font-variant-numeric: tabular-nums; }
article { padding: 1rem 1.15rem; margin: .8rem 0; }
article header { display: flex; flex-wrap: wrap; gap: .6rem; align-items: baseline; }
.badge { border: 1px solid; border-radius: 99px; padding: 0 .6rem; font-size: .8rem; }
.figure { margin-left: auto; font-variant-numeric: tabular-nums; color: var(--soft); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem .9rem; margin: .5rem 0 0; }
dt { color: var(--soft); } dd { margin: 0; }
details { margin-top: .7rem; } summary { cursor: pointer; color: var(--soft); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .88rem; margin-top: .5rem; }
th, td { text-align: left; padding: .35rem .7rem .35rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { color: var(--soft); font-weight: 500; } td.text { overflow-wrap: anywhere; min-width: 14rem; }
td.place { white-space: nowrap; font-family: ui-monospace, monospace; font-size: .8rem; }
.bar { display: grid; grid-template-columns: minmax(7rem, 16rem) 1fr 4.5rem; gap: .7rem; align-items: center;
  font-size: .88rem; padding: .12rem 0; }
.bar .name { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.bar .track { display: flex; height: .8rem; border-radius: 3px; overflow: hidden; }
.bar .count { text-align: right; font-variant-numeric: tabular-nums; }
.train { background: var(--train); } .validation { background: var(--validation); } .test { background: var(--test); }
.key span { display: inline-block; width: .8rem; height: .8rem; border-radius: 3px; margin: 0 .3rem 0 .9rem; }
svg { width: 100%; height: auto; display: block; } svg rect { fill: var(--train); }
svg text { fill: var(--soft); font-size: 11px; }
"""

PAGE = (
    """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>{{ title }}</title>
<style>"""
    + STYLE
    + """</style></head><body><main>
<h1>{{ title }}</h1>
<p class="verdict {{ verdict[0] }}">{{ verdict[1] }}</p>
<div class="tiles">
{% for name, count in rows.items() %}<div class="tile"><b>{{ count|thousands }}</b><span class="soft">{{ name }} rows</span></div>
{% endfor %}
<div class="tile"><b>{{ (classes|length + hidden)|thousands }}</b><span class="soft">classes</span></div>
</div>

<h2>Findings</h2>
{% for finding in findings %}
<article id="{{ finding.kind }}"><header><h3>{{ finding.kind|replace("_", " ")|capitalize }}</h3>
<span class="badge {{ finding.severity }}">{{ words[finding.severity] }}</span>
<span class="figure">{{ finding.count|thousands }} ({{ finding.share|percent }})</span></header>
<p>{{ finding.summary }}</p>
<dl><dt>costs</dt><dd>{{ finding.cost }}</dd><dt>remedy</dt><dd>{{ finding.remedy }}</dd></dl>
{% if finding.rows %}<details{% if finding.severity == "stop" %} open{% endif %}><summary>{{ finding.rows|length }} examples</summary>
<div class="scroll"><table><tr><th>where</th><th>label</th><th>text</th><th>what</th></tr>
{% for row in finding.rows %}<tr><td class="place">{% if row.file %}{{ row.file }}:{{ row.line }}<br><span class="soft">{{ row.split }}</span>{% endif %}</td>
<td>{{ row.label }}</td><td class="text" dir="auto">{{ row.text }}</td><td class="text">{{ row.detail }}</td></tr>
{% endfor %}</table></div></details>{% endif %}
</article>
{% else %}<p>Nothing was found.</p>
{% endfor %}

<h2>Classes</h2>
<p class="key soft"><span class="train"></span>train<span class="validation"></span>validation<span class="test"></span>test</p>
{% for one in classes %}<div class="bar"><span class="name" title="{{ one.label }}">{{ one.label }}</span><span class="track">
{%- for part in one.parts %}<span class="{{ part.side }}" style="width:{{ '%.2f'|format(part.width) }}%" title="{{ part.side }}: {{ part.count }}"></span>{% endfor -%}
</span><span class="count">{{ one.total|thousands }}</span></div>
{% endfor %}
{% if hidden %}<p class="soft">and {{ hidden|thousands }} rarer classes</p>{% endif %}

<h2>Length in characters</h2>
{% if lengths %}{% set width = 900 / lengths|length %}
<svg viewBox="0 0 900 220" role="img" aria-label="Rows by length in characters">
{% for bin in lengths %}<rect x="{{ '%.1f'|format(loop.index0 * width + 4) }}" y="{{ '%.1f'|format(180 - bin.height * 1.55) }}" width="{{ '%.1f'|format(width - 8) }}" height="{{ '%.1f'|format(bin.height * 1.55) }}" rx="3"><title>{{ bin.name }}: {{ bin.count }}</title></rect>
<text x="{{ '%.1f'|format(loop.index0 * width + width / 2) }}" y="200" text-anchor="middle">{{ bin.name }}</text>
<text x="{{ '%.1f'|format(loop.index0 * width + width / 2) }}" y="{{ '%.1f'|format(174 - bin.height * 1.55) }}" text-anchor="middle">{{ bin.count|thousands }}</text>
{% endfor %}</svg>{% endif %}

{% for heading, bars in (("Scripts", languages), ("Personal data", personal)) %}
<h2>{{ heading }}</h2>
{% for one in bars %}<div class="bar"><span class="name">{{ one.name }}</span><span class="track"><span class="train" style="width:{{ '%.2f'|format(one.width) }}%"></span></span><span class="count">{{ one.count|thousands }}</span></div>
{% else %}<p class="soft">None was found.</p>
{% endfor %}
{% endfor %}

<h2>What was looked at</h2>
<p>Equal texts, label names, scripts, lengths and personal data: all rows.</p>
<dl>{% for check, what in sampled.items() %}<dt>{{ check|replace("_", " ") }}</dt><dd>{{ what }}</dd>
{% endfor %}</dl>
</main></body></html>
"""
)
