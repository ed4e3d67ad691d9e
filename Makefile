# make demo    the split view at http://127.0.0.1:7860 (ARGS="--headless" prints the comparison instead)
# make test    the whole test suite
# make check   ruff, mypy strict
# make figures the figures of the pages against their records (ARGS="--write" draws stale ones again)
# make clean   removes what was built here, not the downloads in the user's cache
# Variables: WEIGHTS=file.pt  SOURCE=video.mp4  ARGS="more options"  PYTHON=python3.11

PYTHON ?= python3
VENV ?= .venv
ARGS ?=
BIN := $(VENV)/bin
READY := $(VENV)/.photofinish-ready

.PHONY: demo test check figures clean setup

demo: setup
	$(BIN)/photofinish demo $(if $(WEIGHTS),--weights "$(WEIGHTS)") $(if $(SOURCE),--source "$(SOURCE)") $(ARGS)

test: setup
	$(BIN)/pytest $(ARGS)

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

figures: setup
	$(BIN)/python -m tests.docs.figures $(ARGS)

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	    { echo "Photofinish needs Python 3.10 or newer; name one with PYTHON=python3.12" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
	    { echo "python3 cannot make a virtual environment here; on Debian or Ubuntu: apt install python3-venv" >&2; exit 1; }
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@echo "installing Photofinish into $(VENV) (once; a few GB with PyTorch)" >&2
	@$(BIN)/uv pip install --python $(BIN)/python --constraint constraints.txt --editable '.[all,dev]' || \
	    { echo "uv could not install; trying pip with your own pip configuration" >&2; \
	      $(BIN)/python -m pip install --constraint constraints.txt --editable '.[all,dev]'; }
	@if nvidia-smi -L > /dev/null 2>&1; then \
	    echo "an NVIDIA GPU is here: ONNX Runtime with CUDA instead of the CPU build" >&2; \
	    $(BIN)/uv pip uninstall --quiet --python $(BIN)/python onnxruntime && \
	    $(BIN)/uv pip install --python $(BIN)/python --constraint constraints.txt onnxruntime-gpu; \
	    echo "and PyNvVideoCodec, which decodes cameras on the GPU" >&2; \
	    $(BIN)/uv pip install --python $(BIN)/python --constraint constraints.txt --editable '.[nvdec]'; \
	fi
	@touch $@

clean:
	rm -rf $(VENV) .photofinish build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
	find model_repository -mindepth 1 -maxdepth 1 -type d -exec rm -rf {} +
