// SPDX-License-Identifier: Apache-2.0

// A penalty for each word of a text, learnt (arXiv 2209.08709's regularisation experiment): softmax regression on
// sparse rows, by the staged engine and the oracle that cuBOME ships.

#include <cstdio>
#include <fstream>
#include <stdexcept>

#include "common/arguments.hpp"
#include "experiment.hpp"
#include "options.hpp"
#include "text_data.hpp"

namespace regularisation {
namespace {

void write_csv(const findings& all, const std::string& file) {
    std::ofstream csv(file);
    csv << "name,iteration,seconds,outer_value,gap,validation_loss,test_loss,test_accuracy,held_back_loss,"
           "held_back_accuracy\n";
    for (const model_line& line : all.lines)
        csv << line.name << ",,,,," << line.validation.loss << ',' << line.test.loss << ',' << line.test.accuracy << ','
            << line.held_back.loss << ',' << line.held_back.accuracy << '\n';
    for (const record& r : all.records)
        csv << "bome," << r.iteration << ',' << r.seconds << ',' << r.outer_value << ',' << r.gap << ','
            << r.outer_value << ',' << r.test.loss << ',' << r.test.accuracy << ',' << r.held_back.loss << ','
            << r.held_back.accuracy << '\n';
    csv.close();
    if (!csv) throw std::runtime_error("cannot write " + file);
}

void print(const findings& all) {
    std::printf("%-26s %15s %10s %10s %15s\n", "", "validation loss", "test loss", "accuracy", "held-back loss");
    for (const model_line& line : all.lines)
        std::printf("%-26s %15.4f %10.4f %10.4f %15.4f\n", line.name.c_str(), line.validation.loss, line.test.loss,
                    line.test.accuracy, line.held_back.loss);
    const record& last = all.records.back();
    std::printf("%lld iterations took %.1f s (%s); log-penalties from %.3f to %.3f\n",
                static_cast<long long>(last.iteration), last.seconds, cubome::to_string(all.outcome),
                static_cast<double>(all.least_v), static_cast<double>(all.largest_v));
}

}  // namespace
}  // namespace regularisation

int main(int argc, char** argv) {
    using namespace regularisation;
    return examples::run_main("regularisation", usage, [&] {
        const options o = parse_options(argc, argv);
        if (o.wants_help) {
            std::fputs(usage, stdout);
            return;
        }
        const text_data text = read_text(o);
        std::printf("%lld classes, %lld words, %lld training documents with %.1f words each\n",
                    static_cast<long long>(text.num_classes), static_cast<long long>(text.num_words),
                    static_cast<long long>(text.train.size()),
                    static_cast<double>(text.train.rows.values.size()) / static_cast<double>(text.train.size()));
        const findings all = run(o, text);
        write_csv(all, o.output);
        print(all);
    });
}
