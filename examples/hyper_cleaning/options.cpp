// SPDX-License-Identifier: Apache-2.0
#include "options.hpp"

#include "common/arguments.hpp"

namespace hyper_cleaning {

const char* const usage =
    "usage: hyper_cleaning [options]\n"
    "Finds wrong labels among 50,000 of Fashion-MNIST by learning a weight for each.\n"
    "\n"
    "  --steps K             outer iterations (default: 300)\n"
    "  --inner-steps T       steps of the inner descent in each (default: 10)\n"
    "  --outer-step-size X   of the weights (default: 100)\n"
    "  --eta X               (default: 0.1)\n"
    "  --grid                step sizes 10, 50, 100, 500, 1000 with eta .1, .5, .9, one batch for each T of 1, 5, 10, "
    "20;\n"
    "                        with --inner-steps for that T alone\n"
    "  --seeds N             draws of images and of wrong labels (default: 3)\n"
    "  --every N             iterations from one measurement to the next (default: 10)\n"
    "  --pretraining N       steps of ordinary training, for the start and the lines (default: 400)\n"
    "  --output FILE         one row per measurement, CSV (default: hyper_cleaning.csv)\n"
    "  --picture FILE        accuracy and F1 over time, SVG (default: hyper_cleaning.svg)\n"
    "  --data DIR            the four IDX files of Fashion-MNIST (default: /usr/share/datasets/fashion-mnist)\n"
    "  --backend B           cpu (default) or cuda: what solves; ordinary training is always the CPU's\n"
    "  --precision P         of products on cuda: fp32 (default), tf32 or bf16x3\n"
    "  --threads N           CPU threads (default: all cores); changes no result\n"
    "  --quick               a tiny run, to see that everything works; its figures mean nothing\n"
    "  --help                this text\n";

options parse_options(int argc, const char* const* argv) {
    options o;
    std::int64_t inner_steps = 0;
    configuration one{100, 0.1f};
    std::string backend = "cpu", precision = "fp32";
    bool is_grid = false, is_quick = false;
    examples::arguments line;
    line.whole("--steps", 1, o.steps);
    line.whole("--inner-steps", 1, inner_steps);
    line.positive("--outer-step-size", one.outer_step_size);
    line.positive("--eta", one.eta);
    line.flag("--grid", is_grid);
    line.whole("--seeds", 1, o.seeds);
    line.whole("--every", 1, o.every);
    line.whole("--pretraining", 1, o.training_steps);
    line.text("--output", o.output);
    line.text("--picture", o.picture);
    line.text("--data", o.data);
    line.one_of("--backend", {"cpu", "cuda"}, backend);
    line.one_of("--precision", {"fp32", "tf32", "bf16x3"}, precision);
    line.whole("--threads", 1, o.num_threads);
    line.flag("--quick", is_quick);
    line.flag("--help", o.wants_help);
    line.parse(argc, argv);

    o.where = backend == "cuda" ? cubome::backend::cuda : cubome::backend::cpu;
    if (precision != "fp32" && backend != "cuda") throw examples::usage_error("--precision: expected --backend cuda");
    if (precision == "tf32") o.precision = cubome::product_precision::tf32;
    if (precision == "bf16x3") o.precision = cubome::product_precision::bf16x3;

    if (is_grid) {
        for (const float step : {10.0f, 50.0f, 100.0f, 500.0f, 1000.0f})
            for (const float eta : {0.1f, 0.5f, 0.9f}) o.configurations.push_back({step, eta});
        o.inner_steps = {1, 5, 10, 20};
    } else {
        o.configurations = {one};
        o.inner_steps = {10};
    }
    if (inner_steps > 0) o.inner_steps = {inner_steps};
    if (is_quick) {
        o.sizes = {500, 100, 100, 200};
        o.training_steps = 20;
        o.steps = 6, o.every = 3, o.seeds = 1;
    }
    return o;
}

}  // namespace hyper_cleaning
