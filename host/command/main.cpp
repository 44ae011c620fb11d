// SPDX-License-Identifier: Apache-2.0

// The command `cubome`.

#include <CLI/CLI.hpp>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <map>
#include <new>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cubome/families.hpp"
#include "cubome/solver.hpp"
#include "cubome/version.hpp"
#include "host/command/page_text.hpp"
#include "host/command/report_page.hpp"
#include "host/command/results.hpp"
#include "host/command/run.hpp"
#include "host/command/terminal.hpp"

namespace cubome::command {
namespace {

enum exit_code { exit_ok = 0, exit_failure = 1, exit_usage = 2, exit_problems = 3, exit_interrupted = 4 };

constexpr const char* exit_codes =
    "Exit codes: 0 done; 1 a file, memory or device failed; 2 the command line or the spec is wrong;\n"
    "3 problems failed and --fail-on asked to be told; 4 stopped by a signal, 'cubome resume' goes on.";

std::atomic<bool> is_stopped{false};

extern "C" void stop(int) {
    is_stopped.store(true);
}

enum class fail_on { none, any, all };

struct options {
    std::string spec, folder, out, from;
    std::vector<std::string> folders;
    shard part;
    execution on;
    std::int64_t chunk = 0;
    double memory_gib = 1;
    fail_on failing = fail_on::none;
    bool is_dry_run = false, is_json = false, is_npy = false;

    speech voice() const { return is_json ? speech::program : speech::person; }
};

/// One line for a program, or the same for a person.
void say(const options& o, const nlohmann::ordered_json& event, const std::string& text) {
    if (o.is_json)
        std::printf("%s\n", event.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace).c_str());
    else
        std::printf("%s\n", text.c_str());
    std::fflush(stdout);
}

sweep_execution execution_of(const options& o, progress_display& display) {
    sweep_execution how;
    how.solve = o.on;
    how.solve.cancel = &is_stopped;
    how.most_problems_per_chunk = o.chunk;
    how.memory = static_cast<std::size_t>(o.memory_gib * 1073741824.0);
    how.progress = [&display](const sweep_progress& p) { display.show(p); };
    how.progress_seconds = o.is_json ? 1 : 0.2;
    return how;
}

std::string described(const run_info& info) {
    std::string text = to_string(info.where);
    if (info.where == backend::cpu)
        text += std::string(", ") + to_string(info.instructions) + ", " + std::to_string(info.num_threads) + " threads";
    else
        text += ", device " + std::to_string(info.device);
    return text;
}

/// How the problems ended, of which some failed.
struct ending_counts {
    std::map<std::string, std::int64_t> by_outcome;
    std::int64_t total = 0, failed = 0;

    void add(outcome x) {
        ++by_outcome[to_string(x)];
        ++total;
        failed += x == outcome::non_finite || x == outcome::descent_diverged || x == outcome::no_curvature;
    }
    std::string text() const {
        std::string result;
        for (const auto& [name, count] : by_outcome)
            result += (result.empty() ? "" : ", ") + spell_count(count) + " " + name;
        return result;
    }
    int exit(fail_on failing) const {
        const bool fails =
            failing == fail_on::any ? failed > 0 : failing == fail_on::all && total > 0 && failed == total;
        return fails ? exit_problems : exit_ok;
    }
};

int devices(const options& o) {
    int count = 0;
    const auto ask = [&](const char* name, const execution& on) {
        nlohmann::ordered_json event;
        event["backend"] = name;
        try {
            const run_info info = solver<float>(degenerate<float>(), settings<float>(), on).info();
            ++count;
            event["available"] = true;
            if (info.where == backend::cpu) {
                event["instructions"] = to_string(info.instructions);
                event["threads"] = info.num_threads;
            } else {
                event["device"] = info.device;
            }
            say(o, event, described(info));
            return true;
        } catch (const error& problem) {
            if (on.device > 0) return false;  // there were devices before it
            event["available"] = false;
            event["why"] = problem.what();
            say(o, event, std::string(name) + ": no, " + problem.what());
            return false;
        }
    };
    for (const instruction_set set : {instruction_set::baseline, instruction_set::avx2, instruction_set::avx512}) {
        execution on;
        on.where = backend::cpu;
        on.instructions = set;
        ask("cpu", on);
    }
    execution on;
    on.where = backend::cuda;
    for (on.device = 0; ask("cuda", on); ++on.device) {
    }
    return count > 0 ? exit_ok : exit_failure;
}

int problems(const options& o) {
    for (const source_rules& source : all_sources()) {
        if (o.is_json) {
            nlohmann::ordered_json event;
            event["source"] = source.name;
            event["meaning"] = source.meaning;
            for (const key_rule& rule : source.keys) event["keys"].push_back(rule.name);
            event["measures"] = source.measures;
            std::printf("%s\n", event.dump().c_str());
            continue;
        }
        std::printf("%s: %s\n", source.name, source.meaning);
        for (const key_rule& rule : source.keys) {
            std::string text = rule.meaning;
            for (std::size_t i = 0; i < rule.words.size(); ++i)
                text += (i == 0 ? " (" : ", ") + std::string(rule.words[i]);
            if (!rule.words.empty()) text += ")";
            const std::string otherwise = rule.otherwise == nullptr ? "required" : rule.otherwise;
            std::printf("  %-16s %-18s %s\n", rule.name, otherwise.c_str(), text.c_str());
        }
        for (const char* const measure : source.measures) std::printf("  measures %s\n", measure);
        std::printf("\n");
    }
    return exit_ok;
}

sweep_spec read_spec(const std::string& path) {
    return sweep_spec(read_text(path), path, std::filesystem::path(path).parent_path().string());
}

/// What a sweep is going to do.
void print_plan(const options& o, const prepared_sweep& sweep, const sweep_range& range,
                const sweep_schedule& schedule) {
    const sweep_spec& spec = sweep.spec();
    double log_bytes = 0;
    const std::int64_t per_batch = spec.problems_per_batch();
    for (std::int64_t b = 0; b < spec.num_batches(); ++b) {
        const std::int64_t from = std::max(range.first, b * per_batch),
                           to = std::min(range.first + range.count, (b + 1) * per_batch);
        if (from < to) log_bytes += static_cast<double>(to - from) * static_cast<double>(sweep.layout(b).bytes() + 4);
    }
    nlohmann::ordered_json event;
    event["event"] = "plan";
    event["name"] = spec.name;
    event["problems"] = range.count;
    event["problems_of_sweep"] = spec.num_problems();
    event["batches"] = spec.num_batches();
    event["log_bytes"] = log_bytes;
    event["runs_on"] = described(schedule.runs_on);
    event["devices"] = schedule.num_devices;
    event["queues"] = schedule.num_queues;
    event["chunks"] = schedule.num_chunks;
    event["problems_per_chunk"] = schedule.problems_per_chunk;
    event["memory_bytes"] = schedule.memory;
    std::string text = spec.name + ": " + spell_count(range.count) + " problems";
    if (range.count != spec.num_problems()) text += " of " + spell_count(spec.num_problems());
    text += " in " + spell_count(spec.num_batches()) + (spec.num_batches() == 1 ? " batch" : " batches") + "\n";
    for (const sweep_axis& axis : spec.axes) text += "  " + axis.name + ": " + spell_count(axis.size) + "\n";
    text += "  runs on " + described(schedule.runs_on) + ": " + spell_count(schedule.num_devices, "device") + ", " +
            spell_count(schedule.num_queues, "queue") + ", " + spell_count(schedule.num_chunks, "chunk") + " of " +
            spell_count(schedule.problems_per_chunk) + " problems at most\n  chunks take " +
            bytes_text(static_cast<double>(schedule.memory)) + " of memory at most, results " + bytes_text(log_bytes) +
            " on disk";
    say(o, event, text);
}

/// Solves what is missing in a folder, and says what came of it.
int finish(const options& o, sweep_run& run, const std::string& folder, progress_display& display) {
    const std::int64_t missing = run.num_missing();
    if (run.num_damaged() > 0 && o.from.empty() && !o.is_json)
        std::printf("%s records were damaged or lost: they are solved again\n", spell_count(run.num_damaged()).c_str());
    const sweep_result result = run.run();
    display.end();
    if (result.is_cancelled) {
        nlohmann::ordered_json event;
        event["event"] = "stopped";
        event["folder"] = folder;
        event["missing"] = missing - result.num_received;
        say(o, event,
            "stopped: " + spell_count(result.num_received) + " of " + spell_count(missing) +
                " problems are on disk; 'cubome resume " + folder + "' goes on");
        return exit_interrupted;
    }
    ending_counts counts;
    const folder_results results({folder}, false);
    results.for_each([&](const problem_row& row) { counts.add(row.outcome); });
    nlohmann::ordered_json event;
    event["event"] = "done";
    event["folder"] = folder;
    event["problems"] = counts.total;
    event["outcomes"] = counts.by_outcome;
    say(o, event, results.name + ": " + spell_count(counts.total) + " problems in " + folder + ": " + counts.text());
    return counts.exit(o.failing);
}

int sweep(const options& o) {
    progress_display display(o.voice());
    const sweep_execution how = execution_of(o, display);
    if (o.is_dry_run) {
        const prepared_sweep sweep(read_spec(o.spec));
        const sweep_range range = o.part.of(sweep.spec().num_problems());
        print_plan(o, sweep, range, sweep.schedule({range}, how));
        return exit_ok;
    }
    if (!o.from.empty()) read_manifest(o.from);  // refused before a folder is made
    sweep_run run = sweep_run::begin(o.spec, o.out, o.part, how, system_files());
    if (!o.is_json) print_plan(o, run.sweep(), run.range(), run.schedule());
    if (!o.from.empty()) {
        const std::int64_t taken = run.take_from(o.from);
        nlohmann::ordered_json event;
        event["event"] = "taken";
        event["problems"] = taken;
        say(o, event, spell_count(taken) + " problems are taken from " + o.from);
    }
    return finish(o, run, o.out, display);
}

int resume(const options& o) {
    progress_display display(o.voice());
    sweep_run run = sweep_run::resume(o.folder, execution_of(o, display), system_files());
    return finish(o, run, o.folder, display);
}

/// Solves a spec, keeps nothing, and prints a row per problem.
int solve(const options& o) {
    const prepared_sweep sweep(read_spec(o.spec));
    const sweep_spec& spec = sweep.spec();
    progress_display display(o.voice());
    ending_counts counts;
    std::int64_t batch_shown = -1;
    record_layout layout;
    std::vector<std::size_t> keys;
    for (std::size_t k = 0; k < spec.keys.size(); ++k)
        if (spec.keys[k].is != spec_key::kind::fixed && spec.keys[k].is != spec_key::kind::tied) keys.push_back(k);
    sweep_execution how = execution_of(o, display);
    if (!o.is_json) how.progress = {};  // rows and a bar would mix
    // Before a row is printed what any batch would be refused for is refused.
    sweep.schedule({{0, spec.num_problems()}}, how);
    const sweep_result result =
        sweep.run({{0, spec.num_problems()}}, how,
                  [&](std::int64_t first, std::int64_t count, std::span<const std::byte> records) {
                      const std::int64_t batch = first / spec.problems_per_batch();
                      if (batch != batch_shown) {
                          layout = sweep.layout(batch);
                          if (batch_shown < 0 && !o.is_json) {
                              std::string line = "index";
                              for (const std::size_t k : keys) line += "," + spec.keys[k].name;
                              line += ",outcome,iterations";
                              for (const std::string& f : layout.fields) line += "," + f;
                              std::printf("%s\n", line.c_str());
                          }
                          batch_shown = batch;
                      }
                      for (std::int64_t i = 0; i < count; ++i) {
                          record_reader record(records.subspan(static_cast<std::size_t>(i * layout.bytes())));
                          counts.add(record.ended);
                          const sweep_point at = spec.point(first + i);
                          nlohmann::ordered_json row;
                          row["index"] = first + i;
                          for (const std::size_t k : keys) {
                              const spec_value v = spec.value(k, at);
                              const bool is_word = spec.keys[k].rule->is == key_rule::kind::word ||
                                                   spec.keys[k].rule->is == key_rule::kind::flag;
                              if (is_word)
                                  row[spec.keys[k].name] = v.text;
                              else
                                  row[spec.keys[k].name] = v.number;
                          }
                          row["outcome"] = to_string(record.ended);
                          row["iterations"] = record.iterations;
                          for (const std::string& field : layout.fields) row[field] = record.next<double>();
                          if (o.is_json) {
                              std::printf("%s\n", row.dump().c_str());
                              continue;
                          }
                          std::string line;
                          for (const auto& [name, x] : row.items())
                              line += (line.empty() ? "" : ",") + (x.is_string()         ? x.get<std::string>()
                                                                   : x.is_number_float() ? spell(x.get<double>())
                                                                                         : x.dump());
                          std::printf("%s\n", line.c_str());
                      }
                  });
    display.end();
    if (result.is_cancelled) return exit_interrupted;
    if (!o.is_json)
        std::fprintf(stderr, "%s problems on %s: %s\n", spell_count(counts.total).c_str(),
                     described(result.ran_by).c_str(), counts.text().c_str());
    return counts.exit(o.failing);
}

int report(const options& o) {
    const folder_results results(o.folders, true);
    const std::string out = o.out.empty() ? o.folders.front() + "/report.html" : o.out;
    const std::string page = report_page(results);
    write_durably(system_files(), out, std::as_bytes(std::span(page)));
    nlohmann::ordered_json event;
    event["event"] = "report";
    event["page"] = out;
    event["problems"] = results.num_present;
    event["missing"] = results.num_problems - results.num_present;
    event["damaged"] = results.num_damaged();
    event["hints"] = results.hints;
    std::string text;
    for (const std::string& hint : results.hints) text += hint + "\n";
    if (results.num_damaged() > 0)
        text += spell_count(results.num_damaged()) + " records are damaged: 'cubome resume' solves them again\n";
    if (results.num_present < results.num_problems)
        text += spell_count(results.num_problems - results.num_present) + " of " + spell_count(results.num_problems) +
                " problems are missing\n";
    say(o, event, text + "report: " + std::filesystem::absolute(out).lexically_normal().string());
    return exit_ok;
}

int export_results(const options& o) {
    const folder_results results(o.folders, false);
    nlohmann::ordered_json event;
    event["event"] = "export";
    if (o.is_npy) {
        event["files"] = export_npy(results, o.out);
        say(o, event,
            spell_count(results.num_present) + " problems: " + std::to_string(event["files"].size()) + " arrays in " +
                o.out);
    } else {
        export_csv(results, o.out);
        event["files"] = {o.out};
        say(o, event, spell_count(results.num_present) + " problems: " + o.out);
    }
    return exit_ok;
}

/// "2/8": the third of eight.
std::string parse_shard(const std::string& text, shard& part) {
    std::size_t used = 0;
    try {
        const std::size_t slash = text.find('/');
        part.number = std::stoll(text, &used);
        if (slash == std::string::npos || used != slash) return "is not i/n";
        part.count = std::stoll(text.substr(slash + 1), &used);
        if (used != text.size() - slash - 1) return "is not i/n";
    } catch (const std::exception&) {
        return "is not i/n";
    }
    if (part.count > 1000000) return "n is above 1,000,000";
    return part.number >= 0 && part.number < part.count ? "" : "i is not in 0 … n-1";
}

int run(int argc, char** argv) {
    options o;
    CLI::App app("Solves bilevel problems in bulk, with BOME (arXiv 2209.08709).", "cubome");
    app.footer(std::string("Specs: docs/sweeps.md in the sources, and 'cubome problems'.\n") + exit_codes);
    app.set_version_flag("--version", std::string("cubome ") + CUBOME_VERSION_STRING + ", build " + build_key());
    app.require_subcommand(1);
    int (*chosen)(const options&) = nullptr;

    const auto add = [&](const char* name, const char* meaning, int (*function)(const options&)) {
        CLI::App* const command = app.add_subcommand(name, meaning);
        command->callback([&chosen, function] { chosen = function; });
        command->add_flag("--json", o.is_json, "one JSON object per line, for programs; progress on the error stream");
        return command;
    };
    const std::map<std::string, backend> backends = {
        {"automatic", backend::automatic}, {"cpu", backend::cpu}, {"cuda", backend::cuda}};
    const std::map<std::string, instruction_set> sets = {{"automatic", instruction_set::automatic},
                                                         {"baseline", instruction_set::baseline},
                                                         {"avx2", instruction_set::avx2},
                                                         {"avx512", instruction_set::avx512}};
    const std::map<std::string, fail_on> failing = {
        {"none", fail_on::none}, {"any", fail_on::any}, {"all", fail_on::all}};
    const auto add_where = [&](CLI::App* command) {
        command->add_option("--backend", o.on.where, "automatic, cpu or cuda")
            ->transform(CLI::CheckedTransformer(backends))
            ->option_text("NAME");
        command->add_option("--instructions", o.on.instructions, "of the CPU: automatic, baseline, avx2 or avx512")
            ->transform(CLI::CheckedTransformer(sets))
            ->option_text("NAME");
    };
    const auto add_how = [&](CLI::App* command) {
        command->add_option("--threads", o.on.num_threads, "of the CPU; 0: all")
            ->check(CLI::Range(0, 4096))
            ->option_text("N");
        command->add_option("--chunk", o.chunk, "problems at a time, at most; 0: chosen")
            ->check(CLI::Range(std::int64_t{0}, std::int64_t{1} << 40))
            ->option_text("N");
        command->add_option("--memory", o.memory_gib, "for chunks, in GiB; 1 if not given")
            ->check(CLI::Range(0.001, 65536.0))
            ->option_text("GIB");
        command
            ->add_option("--fail-on", o.failing, "exit with 3 if 'any' or 'all' problems failed; 'none' is the default")
            ->transform(CLI::CheckedTransformer(failing))
            ->option_text("WHAT");
    };

    add("devices", "what problems can be solved on", devices);
    add("problems", "where problems of a spec come from, and its keys", problems);

    CLI::App* const solve_command = add("solve", "solves a spec and prints a row per problem; keeps nothing", solve);
    solve_command->add_option("spec", o.spec, "the spec, JSON")->required()->option_text("SPEC");
    add_where(solve_command), add_how(solve_command);

    CLI::App* const sweep_command =
        add("sweep", "solves a spec into a folder, durably: what a kill breaks off, resume goes on with", sweep);
    sweep_command->add_option("spec", o.spec, "the spec, JSON")->required()->option_text("SPEC");
    CLI::Option* const out = sweep_command->add_option("--out", o.out, "the folder for results")->option_text("DIR");
    sweep_command
        ->add_option_function<std::string>(
            "--shard",
            [&](const std::string& text) {
                if (const std::string wrong = parse_shard(text, o.part); !wrong.empty())
                    throw CLI::ValidationError("--shard", wrong);
            },
            "solve part i of n, i from 0, for arrays of jobs")
        ->option_text("I/N");
    sweep_command->add_flag("--dry-run", o.is_dry_run, "say what would be done, and do nothing");
    sweep_command
        ->add_option("--from", o.from, "take over what this folder has of the same problems, and solve the others")
        ->option_text("DIR");
    add_where(sweep_command), add_how(sweep_command);

    CLI::App* const resume_command =
        add("resume", "goes on with a sweep that was broken off, to the same bytes", resume);
    resume_command->add_option("folder", o.folder, "of results")->required()->option_text("DIR");
    add_how(resume_command);

    CLI::App* const report_command = add("report", "makes a page of a sweep's results", report);
    report_command->add_option("folders", o.folders, "of results; several: shards of one sweep")
        ->required()
        ->option_text("DIR ...");
    report_command->add_option("--out", o.out, "the page; DIR/report.html if not given")->option_text("FILE");

    CLI::App* const export_command = add("export", "writes results as CSV or NumPy arrays", export_results);
    export_command->add_option("folders", o.folders, "of results; several: shards of one sweep")
        ->required()
        ->option_text("DIR ...");
    export_command->add_option("--out", o.out, "the CSV file; with --npy a folder")->required()->option_text("PATH");
    export_command->add_flag("--npy", o.is_npy, "one .npy file per column");

    try {
        app.parse(argc, argv);
        if (chosen == sweep && !o.is_dry_run && out->count() == 0) throw CLI::RequiredError("--out");
    } catch (const CLI::ParseError& problem) {
        if (problem.get_exit_code() == 0) return app.exit(problem), exit_ok;  // --help, --version
        std::fprintf(stderr, "cubome: %s\ncubome: --help says what there is\n", problem.what());
        return exit_usage;
    }
    if (chosen == sweep || chosen == resume || chosen == solve) {  // what asks whether it is to stop
        struct sigaction action {};
        action.sa_handler = stop;
        action.sa_flags = SA_RESTART | SA_RESETHAND;  // a second signal ends the process; what is on disk stays
        sigaction(SIGTERM, &action, nullptr);
        sigaction(SIGINT, &action, nullptr);
    }
    const int code = chosen(o);
    if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) throw file_error("write", "standard output", errno);
    return code;
}

}  // namespace
}  // namespace cubome::command

int main(int argc, char** argv) {
    using namespace cubome::command;
    const auto say = [](const std::exception& problem) { std::fprintf(stderr, "cubome: %s\n", problem.what()); };
    try {
        return run(argc, argv);
    } catch (const spec_error& problem) {
        return say(problem), exit_usage;
    } catch (const cubome::invalid_argument& problem) {
        return say(problem), exit_usage;
    } catch (const std::bad_alloc&) {
        std::fputs("cubome: out of memory: --memory and --chunk make it take less\n", stderr);
        return exit_failure;
    } catch (const std::exception& problem) {
        return say(problem), exit_failure;
    }
}
