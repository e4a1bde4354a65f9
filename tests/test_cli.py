"""The command line: one line and status 2 for what the user can put right, and nothing half-written."""

import io
import os
import subprocess
import sys

import pytest

import topodl
from topodl.cli import main
from topodl.evaluation import evaluate_command, scheduler, study
from topodl.evaluation.run_folder import RunFolder
from topodl.evaluation.settings import StudySettings


def error_of(capsys, *arguments):
    """Return the one line on standard error of a command that must fail with status 2."""
    try:
        status = main(list(arguments))
    except SystemExit as stop:
        status = stop.code
    printed = capsys.readouterr()
    assert status == 2
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    return printed.err.rstrip("\n")


def test_without_a_command_it_says_how(capsys):
    assert error_of(capsys).startswith(
        "topodl: the following arguments are required: COMMAND; see topodl --help"
    )
    assert "invalid choice: 'evalute'" in error_of(capsys, "evalute")


def test_version(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"topodl {topodl.__version__}\n"


@pytest.mark.parametrize("arguments", [["--help"], ["evaluate", "--help"], ["report", "--help"]])
def test_help(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 0
    assert "usage: topodl" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--losses", "ce_dise"],
            "topodl evaluate: losses is 'ce_dise' (did you mean 'ce_dice'?); expected one of",
        ),
        (
            ["--data", "/no/such/folder"],
            "topodl evaluate: data is '/no/such/folder', which is not there; expected",
        ),
        (["--iterations", "many"], "topodl evaluate: argument --iterations: invalid int value: 'many'; see"),
        (["--iterations", "-5"], "topodl evaluate: iterations is -5; expected an integer of at least 1"),
        (["--seeds", "-1"], "topodl evaluate: seeds is -1; expected a number of seeds, or several seeds"),
        (["--learning-rate", "nan"], "topodl evaluate: learning_rate is nan; expected a number"),
        (["--device", "cuda:99"], "topodl evaluate: device is 'cuda:99'"),
        (
            ["--protocol", "nnunet"],
            "topodl evaluate: protocol is 'nnunet' (did you mean 'tuned'?); expected one of 'quick', ",
        ),
        (
            ["--image-size", "99", "--network", "dynunet"],
            "topodl evaluate: image_size is 99 with network='dynunet'; expected a multiple of 128",
        ),
        (["--jobs", "0"], "topodl evaluate: jobs is 0; expected an integer of at least 1"),
        (
            ["--jobs", "2", "--nodes", "2", "--batch-size", "4"],
            "topodl evaluate: nodes is 2 in a study of several",
        ),
        (["--los", "x", "--bogus"], "topodl: unrecognized arguments: --los x --bogus; see topodl --help"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(arguments, message, capsys, tmp_path):
    output = tmp_path / "run"
    assert error_of(capsys, "evaluate", "--output", str(output), *arguments).startswith(message)
    assert not output.exists()


def test_a_message_over_several_lines_becomes_one(capsys, monkeypatch):
    def fail(arguments):
        raise topodl.MissingDependencyError("monai\nand others", extra="eval", purpose="this")

    monkeypatch.setattr(evaluate_command, "run", fail)
    assert error_of(capsys, "evaluate").startswith(
        "topodl evaluate: this needs monai and others, which is not"
    )


@pytest.mark.parametrize("option", [[], ["--jobs", "2"]])
def test_a_missing_extra_is_said_without_the_command_s_name_twice(option, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert error_of(capsys, "evaluate", "--output", str(tmp_path / "run"), *option) == (
        "topodl evaluate needs lightning-fabric, which is not installed; "
        'install it with: pip install "topodl[eval]"'
    )


def test_control_c_says_how_to_go_on(capsys, monkeypatch):
    def stop(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(study, "run_study", stop)
    assert main(["evaluate"]) == 130
    assert capsys.readouterr().err.endswith("interrupted; the same command goes on from here\n")


@pytest.mark.parametrize(
    ("numbers", "seeds"),
    [(["1"], (1,)), (["3"], (1, 2, 3)), (["0"], (0,)), (["5", "7"], (5, 7)), ([], (1, 2, 3))],
)
def test_seeds_are_a_number_of_them_or_the_seeds(numbers, seeds, monkeypatch):
    asked = []

    def remember(settings, output, **options):
        asked.append((settings, output))
        raise KeyboardInterrupt

    monkeypatch.setattr(study, "run_study", remember)
    main(["evaluate", *(["--seeds", *numbers] if numbers else [])])
    settings, output = asked[0]
    assert settings.seeds == seeds
    assert output.as_posix() == f"topodl-runs/{settings.short_name()}"


def test_who_does_not_wait_leaves_the_report_to_the_last(monkeypatch, capsys, tmp_path):
    def run(settings, output, *, note, wait):
        assert not wait
        return RunFolder(output)

    monkeypatch.setattr(study, "run_study", run)
    assert main(["evaluate", "--no-wait", "--output", str(tmp_path / "run")]) == 0
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == (
        "topodl evaluate: 9 of 9 trainings are not finished; the process that ends last writes the report\n"
    )


def test_jobs_and_schedulers_are_passed_on(monkeypatch, tmp_path):
    asked = []

    def on_cluster(address, protocol, *, note, **values):
        asked.append((address, values["data"], values["seeds"]))
        return StudySettings.of_protocol(protocol, **values)

    def run(settings, output, *, jobs, scheduler, note):
        asked.append((settings.iterations, jobs, scheduler))
        raise KeyboardInterrupt

    monkeypatch.setattr(scheduler, "settings_of_cluster", on_cluster)
    monkeypatch.setattr(scheduler, "run_distributed_study", run)
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", "--jobs", "4", "--iterations", "7"]) == 130
    assert main(["evaluate", "--scheduler", "tcp://x:1", "--data", ".", "--seeds", "2"]) == 130
    assert asked == [(7, 4, None), ("tcp://x:1", tmp_path.resolve(), [1, 2]), (160, 1, "tcp://x:1")]


def test_a_stream_without_arrows_does_not_stop_a_command(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(evaluate_command, "run", lambda arguments: print("Dice ↑ 0.9 ± 0.1") or 0)
    assert main(["evaluate"]) == 0
    stream.flush()
    assert stream.buffer.getvalue().decode("cp1252").rstrip() == "Dice ? 0.9 ± 0.1"


def test_importing_the_command_line_is_cheap():
    code = "import sys, topodl.cli; print([m for m in ('torch', 'numpy', 'monai') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_argument_with_a_nul_is_refused(capsys):
    assert "an argument has a NUL" in error_of(capsys, "report", "a\0b")


@pytest.mark.parametrize("command", ["report", "evaluate"])
def test_a_name_that_is_too_long_for_the_disk_is_one_line(capsys, command):
    options = ["--output"] if command == "evaluate" else []
    assert "too long" in error_of(capsys, command, *options, "x" * 300)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such device")
@pytest.mark.parametrize(
    ("output", "status", "says"), [("/dev/full", 2, "No space left"), ("closed", 141, "")]
)
def test_output_that_nobody_takes_is_no_traceback(tmp_path, output, status, says):
    code = "import sys; from topodl import cli; sys.exit(cli.main(['nnunet']))"
    if output == "closed":
        reading, writing = os.pipe()
        os.close(reading)
    else:
        writing = os.open(output, os.O_WRONLY)
    try:
        command = [sys.executable, "-c", code]
        ended = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    finally:
        os.close(writing)
    assert ended.returncode == status
    assert says in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "Exception ignored" not in ended.stderr
