// SPDX-License-Identifier: Apache-2.0
#include "options.hpp"

#include "common/arguments.hpp"

namespace regularisation {

const char* const usage =
    "usage: regularisation [options]\n"
    "Learns an L2 penalty for each word, to tell the sections of the archive apart by their packages' descriptions.\n"
    "\n"
    "  --documents N      descriptions that are used, of those that apt knows (default: 18846; 0: all)\n"
    "  --steps K          outer iterations (default: 300)\n"
    "  --inner-steps T    steps of the inner descent in each (default: 1)\n"
    "  --step-size X      of theta, of the descent and of ordinary training (default: 100)\n"
    "  --outer-step-size X   of v (default: 100)\n"
    "  --eta X            (default: 1e-4)\n"
    "  --automatic        steps by cuBOME's automatic rule, with its defaults, instead of the paper's fixed ones\n"
    "  --training N       steps of ordinary training (default: 300)\n"
    "  --every N          iterations from one measurement to the next (default: 20)\n"
    "  --seed N           which documents are for what (default: 1)\n"
    "  --output FILE      CSV (default: regularisation.csv)\n"
    "  --threads N        CPU threads (default: all cores); changes no result\n"
    "  --synthetic        made-up documents instead\n"
    "  --quick            a tiny run on made-up documents, to see that everything works\n"
    "  --help             this text\n";

options parse_options(int argc, const char* const* argv) {
    options o;
    bool is_quick = false;
    examples::arguments line;
    line.whole("--documents", 0, o.documents);
    line.whole("--steps", 1, o.steps);
    line.whole("--inner-steps", 1, o.inner_steps);
    line.positive("--step-size", o.step_size);
    line.positive("--outer-step-size", o.outer_step_size);
    line.positive("--eta", o.eta);
    line.flag("--automatic", o.is_automatic);
    line.whole("--training", 1, o.training_steps);
    line.whole("--every", 1, o.every);
    line.whole("--seed", 1, o.seed);
    line.text("--output", o.output);
    line.whole("--threads", 1, o.num_threads);
    line.flag("--synthetic", o.is_synthetic);
    line.flag("--quick", is_quick);
    line.flag("--help", o.wants_help);
    line.parse(argc, argv);
    if (is_quick) {
        o.is_synthetic = true;
        o.documents = 400;
        o.steps = 10, o.every = 5, o.training_steps = 10;
    }
    return o;
}

}  // namespace regularisation
