// SPDX-License-Identifier: Apache-2.0

// Data hyper-cleaning at the size of arXiv 2209.08709: softmax regression on 50,000 images with half of the labels
// redrawn, one learnt weight for each, by the staged engine and the oracle that cuBOME ships.

#include <cstdio>

#include "common/arguments.hpp"
#include "experiment.hpp"
#include "options.hpp"
#include "results.hpp"

int main(int argc, char** argv) {
    using namespace hyper_cleaning;
    return examples::run_main("hyper_cleaning", usage, [&] {
        const options o = parse_options(argc, argv);
        if (o.wants_help) {
            std::fputs(usage, stdout);
            return;
        }
        const findings all = run(o);
        write_csv(all, o.output);
        write_picture(all, o.picture);
        print_table(all);
    });
}
