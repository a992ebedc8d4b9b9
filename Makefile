# make quickstart   build a simulated dataset, train a small model on it, score it and the one in space/: less than an hour on two CPU cores
# make space        the demo on this machine, with the model in space/
# make test         lint, types and every test
# make harnesses    the benchmark in lmms-eval and inspect-ai themselves
# make cards        the cards of the model in space/ and of its data, in cards/
# make release ORG=NAME [DRY_RUN=1]   all of it on the Hugging Face Hub, or a list of what would be sent
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EXTRAS := train,dev
DATASET := stkit
BENCH := stkit-bench
QUICK := st-vlm-quickstart
MODEL := space/st-vlm-tiny
RESULTS := results
CARDS := cards
EXAMPLES := space/examples/plain/clips.parquet

.PHONY: quickstart space test harnesses cards release org lint types setup ffmpeg metric clean

quickstart: setup
	$(BIN)/python dataset_builder/build.py dataset_builder/recipes/sample.yaml --out $(DATASET)
	$(BIN)/python dataset_builder/build.py dataset_builder/recipes/sample_bench.yaml --out $(BENCH)
	$(BIN)/python training/sft.py --config training/recipes/tiny_cpu.yaml --dataset $(DATASET) --output_dir $(QUICK)
	for model in $(QUICK) $(MODEL); do $(BIN)/python evaluate_metric/evaluate_model.py --model $$model --dataset $(BENCH) \
		--controls black,static --out $(RESULTS)/$$(basename $$model) || exit; done
	$(BIN)/python model_card/render.py --results $(RESULTS) --model $(MODEL) --dataset $(DATASET) --out $(CARDS)
	@echo "dataset $(DATASET)/, benchmark $(BENCH)/, model $(QUICK)/, answers and scores $(RESULTS)/, cards $(CARDS)/"

cards: setup
	$(BIN)/python model_card/render.py --results $(RESULTS) --model $(MODEL) --dataset $(DATASET) --out $(CARDS)

# What `make quickstart` left, with the model in space/; MODEL, RESULTS and DATASET name others.
release: org setup $(EXAMPLES)
	$(BIN)/python model_card/release.py $(ORG) --results $(RESULTS) --model $(MODEL) --dataset $(DATASET) \
		$(if $(DRY_RUN),--dry-run)

space: setup $(EXAMPLES)
	$(BIN)/python space/app.py

# What the demo shows: 25 MB of the simulated world, in a minute or two. The file named is the last that is written.
$(EXAMPLES): space/examples.yaml space/make_examples.py | $(VENV)/.ready
	$(BIN)/python space/make_examples.py
	touch $@

# A file's tests share what they made, and stay in one process; tests/conftest.py says which files come first.
test: setup lint types
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

# In an environment of their own on top of this one: lmms-eval wants an older PyAV, and its package `tests` would hide
# ours. VLMEvalKit is in no registry: name a Python that has it in STVLM_HARNESSES.
harnesses: setup
	test -d .harnesses || $(BIN)/python -m venv --without-pip .harnesses
	echo "import site; site.addsitedir('$(abspath $(BIN))/../lib/' + site.__file__.split('/')[-2] + '/site-packages')" \
		> $$(echo .harnesses/lib/python*/site-packages)/stvlm.pth
	.harnesses/bin/python -m pip install --quiet --disable-pip-version-check lmms-eval inspect-ai
	STVLM_HARNESSES="$(abspath .harnesses/bin/python):$$STVLM_HARNESSES" $(BIN)/python -m pytest tests/harnesses

org:
	@test -n "$(ORG)" || { echo "error: ORG is missing: your user name or an organisation of yours on the Hub" >&2; exit 1; }

lint: setup
	$(BIN)/ruff check .

types: setup
	$(BIN)/mypy

setup: $(VENV)/.ready ffmpeg

# Made anew when what is to be installed changes; a half-made one is not marked ready.
$(VENV)/.ready: pyproject.toml constraints.txt
	@echo "installing into $(VENV): about 8 GB, minutes"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[$(EXTRAS)]"
	touch $@

# torchcodec decodes with FFmpeg's shared libraries.
ffmpeg:
	@ldconfig -p | grep -q libavcodec || $(MAKE) --no-print-directory install-ffmpeg

install-ffmpeg:
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq ffmpeg >/dev/null; \
	else \
		echo "FFmpeg's libraries are missing, so that videos are decoded more slowly. Type: sudo apt-get install ffmpeg"; \
	fi

# The metric's folder holds its own copy of the scoring modules, because it is published on its own; and its card, with
# the figures that were measured.
metric: setup
	cp $(filter-out %/__init__.py,$(wildcard src/stvlm/scoring/*.py)) evaluate_metric/stkit_bench/
	$(BIN)/python -c "from pathlib import Path; from stvlm.cards.metric import render_metric_card as card; \
		Path('evaluate_metric/stkit_bench/README.md').write_text(card(Path('benchmarks/results')), encoding='utf-8')"

clean:
	rm -rf $(VENV) space/examples $(DATASET) $(BENCH) $(QUICK) $(RESULTS) $(CARDS) .release .harnesses .$(DATASET).build .$(BENCH).build .$(QUICK).training
