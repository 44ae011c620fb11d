// SPDX-License-Identifier: Apache-2.0

// What the page can do beyond being read: another theme, words beside the pointer, sorted tables, other heat maps, and
// a choice among the parallel lines. Without it nothing is missing but these. Data enters as text, never as markup.
(() => {
    "use strict";

    const root = document.documentElement;
    root.classList.add("has-script");
    const all = (selector, within = document) => Array.from(within.querySelectorAll(selector));
    const data_of = (id) => {
        const element = document.getElementById(id);
        return element ? JSON.parse(element.textContent) : null;
    };

    // --- theme

    const themes = ["auto", "light", "dark"];
    const theme_button = document.getElementById("theme");
    const set_theme = (theme) => {
        if (theme === "auto") root.removeAttribute("data-theme");
        else root.setAttribute("data-theme", theme);
        theme_button.lastElementChild.textContent = theme;
    };
    let theme = root.getAttribute("data-theme") || "auto";
    try {
        if (theme === "auto" && themes.includes(localStorage.getItem("cubome-theme")))
            theme = localStorage.getItem("cubome-theme");
    } catch (error) { /* a page from a file may have no storage */ }
    set_theme(theme);
    theme_button.addEventListener("click", () => {
        theme = themes[(themes.indexOf(theme) + 1) % themes.length];
        set_theme(theme);
        try {
            localStorage.setItem("cubome-theme", theme);
        } catch (error) { /* likewise */ }
    });

    // --- words beside the pointer

    const tip = document.createElement("div");
    tip.id = "tip";
    tip.hidden = true;
    tip.setAttribute("aria-hidden", "true");
    document.body.append(tip);
    const show_tip = (event, words) => {
        tip.textContent = words;
        tip.hidden = false;
        const box = tip.getBoundingClientRect();
        const x = event.clientX + 14 + box.width > innerWidth - 8 ? event.clientX - 14 - box.width : event.clientX + 14;
        const y = event.clientY + 16 + box.height > innerHeight - 8 ? event.clientY - 12 - box.height : event.clientY + 16;
        tip.style.left = Math.max(8, x) + "px";
        tip.style.top = Math.max(8, y) + "px";
    };
    const hide_tip = () => {
        tip.hidden = true;
    };

    // The browser's own words come late and not on touch: they become ours.
    const words_of = new WeakMap();
    const take_words = (within) => {
        for (const title of all(".mark > title", within)) {
            words_of.set(title.parentNode, title.textContent);
            title.remove();
        }
        for (const element of all("[title]", within)) {
            words_of.set(element, element.getAttribute("title"));
            element.removeAttribute("title");
        }
    };
    take_words(document);
    const find_words = (element) => {
        for (; element && element !== document.body; element = element.parentNode)
            if (words_of.has(element)) return element.closest(".parallel") ? null : words_of.get(element);
        return null;
    };
    const point = (event) => {
        if (event.target.closest && event.target.closest("svg.curve, svg.parallel")) return;
        const words = find_words(event.target);
        if (words) show_tip(event, words);
        else hide_tip();
    };
    document.addEventListener("pointermove", point);
    document.addEventListener("pointerdown", point);
    document.addEventListener("scroll", hide_tip, {passive: true});
    document.addEventListener("keydown", (event) => {
        if (event.key === "Escape") hide_tip();
    });

    // --- numbers

    const spell = (x, digits = 4) => {
        if (x === null) return "–";
        if (x === 0) return "0";
        const size = Math.abs(x);
        if (Number.isInteger(x) && size < 1e7) return x.toLocaleString("en-US");
        if (size >= 1e-4 && size < 1e6) return String(Number(x.toPrecision(digits)));
        return Number(x.toPrecision(digits)).toExponential().replace("e+", "e");
    };

    // --- sorted tables

    const number_in = (text) => {
        const found = text.replace(/under|over|[,≈\s]/g, "").match(/^-?(\d+\.?\d*|\.\d+)(e-?\d+)?/);
        return found ? Number(found[0]) : NaN;
    };
    const compare = (a, b, direction) => {
        const x = number_in(a), y = number_in(b);
        if (!isNaN(x) && !isNaN(y) && x !== y) return direction * (x - y);
        if (isNaN(x) !== isNaN(y)) return isNaN(x) ? 1 : -1;
        return direction * a.localeCompare(b, "en");
    };
    for (const table of all("table.sortable")) {
        const heads = all("thead th", table);
        for (const head of heads) {
            const column = head.cellIndex;
            const button = document.createElement("button");
            button.type = "button";
            button.className = "sort";
            button.append(...head.childNodes);
            head.append(button);
            button.addEventListener("click", () => {
                const direction = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
                for (const other of heads) other.removeAttribute("aria-sort");
                head.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
                const body = table.tBodies[0];
                const rows = Array.from(body.rows, (row, i) => [row, row.cells[column].textContent, i]);
                rows.sort((a, b) => compare(a[1], b[1], direction) || a[2] - b[2]);
                body.append(...rows.map((row) => row[0]));
            });
        }
    }

    // --- curves

    const curves = data_of("curve-data");
    for (const svg of curves ? all("svg.curve") : []) {
        const [left, top, right, bottom] = svg.dataset.area.split(" ").map(Number);
        const levels = curves.panels[svg.dataset.panel][svg.dataset.field];
        const last = curves.k[curves.k.length - 1];
        const share_of = svg.dataset.log === "1" ? (k) => Math.log1p(k / curves.step) / Math.log1p(last / curves.step)
                                                 : (k) => k / last;
        const places = curves.k.map((k) => left + (right - left) * share_of(k));
        const cursor = document.createElementNS(svg.namespaceURI, "path");
        cursor.setAttribute("class", "cursor");
        svg.append(cursor);
        const move = (event) => {
            const box = svg.getBoundingClientRect();
            const x = (event.clientX - box.left) * svg.viewBox.baseVal.width / box.width;
            let i = 0;
            for (let j = 1; j < places.length; ++j)
                if (Math.abs(places[j] - x) < Math.abs(places[i] - x)) i = j;
            cursor.setAttribute("d", `M${places[i]} ${top}V${bottom}`);
            const [p5, p25, p50, p75, p95] = levels.map((level) => spell(level[i], 3));
            show_tip(event, `${curves.names[svg.dataset.field]} at iteration ${curves.k[i].toLocaleString("en-US")}\n` +
                                `median ${p50}\n25–75 %: ${p25} … ${p75}\n5–95 %: ${p5} … ${p95}`);
        };
        svg.addEventListener("pointermove", move);
        svg.addEventListener("pointerdown", move);
        svg.addEventListener("pointerleave", () => {
            cursor.removeAttribute("d");
            hide_tip();
        });
    }

    // --- heat maps

    const heat = data_of("heat-data");
    if (heat) draw_heat_maps();

    function draw_heat_maps() {
        const place = document.getElementById("heat");
        const metric_choice = document.getElementById("heat-metric");
        const down_choice = document.getElementById("heat-down");
        const across_choice = document.getElementById("heat-across");
        const option = (value, text) => new Option(text, value);

        heat.metrics.forEach((metric, i) => metric_choice.append(option(i, metric.name)));
        const find = (down, across) => heat.maps.find((map) => (map.down === down && map.across === across) ||
                                                              (map.down === across && map.across === down));
        heat.axes.forEach((axis, i) => {
            if (!axis) return;
            down_choice.append(option(i, axis.name));
            across_choice.append(option(i, axis.name));
        });
        down_choice.value = heat.first[0];
        across_choice.value = heat.first[1];
        let shown = heat.first.slice();

        const channel = (colour, i) => parseInt(colour.substr(1 + 2 * i, 2), 16);
        const colour_at = (share) => {
            const at = Math.min(Math.max(share, 0), 1) * (heat.ramp.length - 1);
            const below = Math.min(Math.floor(at), heat.ramp.length - 2);
            return [0, 1, 2].map((i) => Math.round(channel(heat.ramp[below], i) + (at - below) *
                                 (channel(heat.ramp[below + 1], i) - channel(heat.ramp[below], i))));
        };
        const ink_on = (colour) => {
            const [r, g, b] = colour.map((c) => c / 255).map((c) => c <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4);
            const luminance = .2126 * r + .7152 * g + .0722 * b;
            return (luminance + .05) / .05 > 1.05 / (luminance + .05) ? "#000" : "#fff";
        };

        const element = (name, text, attributes = {}) => {
            const made = document.createElement(name);
            if (text !== undefined) made.textContent = text;
            for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
            return made;
        };

        // As the page's own maps are spelled: as many decimals as a hundredth of the range needs.
        const speller_of = (metric, numbers, least, most) => {
            if (metric.share)
                return (x) => (x === 0 ? "0" : x < .001 ? "under 0.1" : (100 * x).toFixed(x < .1 ? 1 : 0)) + " %";
            const sizes = numbers.filter((x) => x !== 0).map(Math.abs);
            const high = Math.max(0, ...sizes), low = Math.min(Infinity, ...sizes);
            if (high === 0 || (high < 1e7 && numbers.every(Number.isInteger))) return (x) => x.toLocaleString("en-US");
            if (high >= 1e6 || high < 1e-3 || high / low > 1e5)
                return (x) => x.toExponential(2).replace("e+", "e");
            const wanted = most > least ? Math.ceil(-Math.log10((most - least) / 100)) : 3 - Math.floor(Math.log10(high));
            const decimals = Math.min(Math.max(wanted, 0), 6);
            return (x) => x.toLocaleString("en-US", {minimumFractionDigits: decimals, maximumFractionDigits: decimals});
        };

        const draw = () => {
            const down = Number(down_choice.value), across = Number(across_choice.value);
            const metric_index = Number(metric_choice.value), metric = heat.metrics[metric_index];
            const map = find(down, across);
            place.textContent = "";
            if (!map) {
                place.append(element("p", down === across ? "Choose two different parameters."
                                                          : "This pair has too many cells to be kept in the page.",
                                     {class: "note"}));
                return;
            }
            const rows = heat.axes[down], columns = heat.axes[across];
            const cell_of = (i, j) => map.down === down ? i * columns.labels.length + j : j * rows.labels.length + i;
            const means = map.means[metric_index];
            const numbers = means.filter((x) => x !== null);
            const least = Math.min(...numbers), most = Math.max(...numbers);
            const is_log = least > 0 && most / least > 100;
            const share_of = (x) => !(most > least) ? .5 : is_log ? Math.log(x / least) / Math.log(most / least)
                                                                  : (x - least) / (most - least);
            const spell_mean = speller_of(metric, numbers, least, most);
            const is_dense = means.length > 400 || columns.labels.length > 16;
            const best = metric.best > 0 ? most : least;

            const table = element("table", undefined, {class: is_dense ? "heat dense" : "heat"});
            const caption = element("p", metric.share ? "" : "Mean ", {class: "caption"});
            caption.append(element("code", metric.name), " by ", element("code", rows.name), " (down) and ",
                           element("code", columns.name), " (across)");
            const head = element("tr");
            head.append(element("td", "", {class: "corner"}));
            for (const label of columns.labels) {
                const cell = element("th", undefined, {scope: "col"});
                cell.append(element("span", label));
                head.append(cell);
            }
            const thead = element("thead"), body = element("tbody");
            thead.append(head);
            rows.labels.forEach((label, i) => {
                const row = element("tr");
                row.append(element("th", label, {scope: "row"}));
                columns.labels.forEach((column, j) => {
                    const mean = means[cell_of(i, j)];
                    const count = typeof map.n === "number" ? map.n : map.n[cell_of(i, j)];
                    const words = `${rows.name} ${label}\n${columns.name} ${column}\n`;
                    const cell = element("td", is_dense ? "" : mean === null ? "–" : spell_mean(mean));
                    if (mean === null) {
                        cell.className = "empty";
                        words_of.set(cell, words + "no number");
                    } else {
                        const colour = colour_at(share_of(mean));
                        cell.style.background = `rgb(${colour.join(",")})`;
                        cell.style.color = ink_on(colour);
                        if (mean === best) cell.className = "best";
                        words_of.set(cell, `${words}${metric.name} ${metric.share ? spell_mean(mean) : spell(mean, 5)}\n` +
                                               `${count.toLocaleString("en-US")} problem${count === 1 ? "" : "s"}`);
                    }
                    row.append(cell);
                });
                body.append(row);
            });
            table.append(thead, body);
            const scroll = element("div", undefined, {class: "scroll", role: "region", tabindex: "0", "aria-label": "Heat map"});
            scroll.append(table);
            place.append(caption, scroll);
            if (numbers.length === 0) return;
            const legend = element("p", undefined, {class: "ramp"});
            const ramp = element("span", undefined, {class: "colours"});
            ramp.style.background = `linear-gradient(to right,${heat.ramp.join(",")})`;
            legend.append(element("span", spell_mean(least)), ramp, element("span", spell_mean(most)));
            if (is_log) legend.append(element("span", "logarithmic"));
            legend.append(element("span", "framed: the best", {class: "more"}));
            place.append(legend);
        };
        const change = (event) => {
            // Who chooses the other side's parameter wants them changed over.
            if (down_choice.value === across_choice.value) {
                if (event.target === down_choice) across_choice.value = shown[0];
                else down_choice.value = shown[1];
            }
            shown = [Number(down_choice.value), Number(across_choice.value)];
            draw();
        };
        for (const choice of [metric_choice, down_choice, across_choice]) choice.addEventListener("change", change);
        document.getElementById("heat-choices").addEventListener("submit", (event) => event.preventDefault());
        draw();
    }

    // --- parallel coordinates

    const parallel = document.querySelector("svg.parallel");
    if (parallel) choose_among_lines();

    function choose_among_lines() {
        const [, top, , bottom] = parallel.dataset.area.split(" ").map(Number);
        const lines = all(".mark", parallel).map((mark) => ({
            path: mark.querySelector("path"),
            words: words_of.get(mark),
            points: (mark.querySelector("path").getAttribute("d").match(/-?[\d.]+/g) || []).map(Number)
        }));
        const height_at = (points, x) => {
            for (let i = 0; i + 3 < points.length; i += 2)
                if (x >= points[i] && x <= points[i + 2])
                    return points[i + 1] + (points[i + 3] - points[i + 1]) * (x - points[i]) / (points[i + 2] - points[i]);
            return NaN;
        };
        const position = (event) => {
            const box = parallel.getBoundingClientRect();
            const scale = parallel.viewBox.baseVal.width / box.width;
            return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
        };
        const brushes = new Map();  // by the upright's x: [from, to]
        const choose = () => {
            for (const line of lines) {
                const is_in = Array.from(brushes).every(([x, [from, to]]) => {
                    const y = height_at(line.points, x);
                    return y >= from && y <= to;
                });
                line.path.classList.toggle("out", !is_in);
            }
        };
        let seen = null;
        const look_at = (line) => {
            if (seen === line) return;
            if (seen) seen.path.classList.remove("seen");
            seen = line;
            if (seen) seen.path.classList.add("seen");
        };
        parallel.addEventListener("pointermove", (event) => {
            const [x, y] = position(event);
            let nearest = null, least = 9;
            for (const line of lines) {
                if (line.path.classList.contains("out")) continue;
                const distance = Math.abs(height_at(line.points, x) - y);
                // Of equally near lines the one on top: the best are drawn last.
                if (distance <= least) nearest = line, least = distance;
            }
            look_at(nearest);
            if (nearest) show_tip(event, nearest.words);
            else hide_tip();
        });
        parallel.addEventListener("pointerleave", () => {
            look_at(null);
            hide_tip();
        });
        for (const upright of all(".upright", parallel)) {
            const x = Number(upright.getAttribute("d").match(/-?[\d.]+/)[0]);
            const make = (classes, width) => {
                const rect = document.createElementNS(parallel.namespaceURI, "rect");
                rect.setAttribute("class", classes);
                rect.setAttribute("x", x - width / 2);
                rect.setAttribute("width", width);
                return rect;
            };
            const brush = make("brush", 12), grip = make("grip", 28);
            grip.setAttribute("y", top);
            grip.setAttribute("height", bottom - top);
            parallel.append(grip);
            let start = null;
            grip.addEventListener("pointerdown", (event) => {
                if (event.pointerType === "touch") return;  // there it scrolls
                start = position(event)[1];
                grip.setPointerCapture(event.pointerId);
                event.preventDefault();
            });
            grip.addEventListener("pointermove", (event) => {
                if (start === null) return;
                const end = Math.min(Math.max(position(event)[1], top), bottom);
                if (Math.abs(end - start) < 3 && !brushes.has(x)) return;
                brushes.set(x, [Math.min(start, end), Math.max(start, end)]);
                brush.setAttribute("y", Math.min(start, end));
                brush.setAttribute("height", Math.abs(end - start));
                if (!brush.parentNode) parallel.insertBefore(brush, grip);
                choose();
            });
            grip.addEventListener("pointerup", () => {
                start = null;
            });
            grip.addEventListener("dblclick", () => {
                brushes.delete(x);
                brush.remove();
                choose();
            });
        }
    }
})();
