"""Options the commands have in common."""

import argparse
from pathlib import Path

DATA_DIR = Path("var")
HOST = "127.0.0.1"
PORT = 8000
_HIGHEST_PORT = 65535


def add_data_dir(parser: argparse.ArgumentParser) -> None:
    """Add --data-dir."""
    parser.add_argument(
        "--data-dir",
        type=_folder,
        default=_folder(str(DATA_DIR)),
        help=f"folder with the database, the keys and the credentials, {DATA_DIR} by default",
    )


def add_data_dir_of_running(parser: argparse.ArgumentParser) -> None:
    """Add --data-dir to a command that without it works on what the variables say."""
    parser.add_argument(
        "--data-dir",
        type=_folder,
        help=f"folder of the service that `make run` started, as {DATA_DIR}; without it variables say where",
    )


def add_address(parser: argparse.ArgumentParser) -> None:
    """Add --host and --port."""
    parser.add_argument("--host", default=HOST, help=f"address to listen on, {HOST} by default")
    parser.add_argument("--port", type=_port, default=PORT, help=f"port to listen on, {PORT} by default")


def _folder(text: str) -> Path:
    # What a variable that is not set leaves behind would otherwise mean the folder one happens to be in.
    if not text.strip():
        raise argparse.ArgumentTypeError("it is empty: write a folder, for example ~/webhooks-data.")
    return Path(text).expanduser().resolve()


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= _HIGHEST_PORT):
        raise argparse.ArgumentTypeError(f"{text} is no port: write a number from 1 to {_HIGHEST_PORT}.")
    return int(text)
