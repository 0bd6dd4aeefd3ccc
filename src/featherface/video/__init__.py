"""Moving pictures: read, tracked, drawn and written."""

from featherface.video.ahead import ahead
from featherface.video.look import Detectors, shared_out
from featherface.video.names import is_live, source_files
from featherface.video.read import Frame, Source, VideoReader, open_video
from featherface.video.records import Records
from featherface.video.track import UNTRACKED, Tracked, Tracker, tracked_frames
from featherface.video.write import VideoWriter, draw_tracked, open_writer

__all__ = [
    "UNTRACKED",
    "Detectors",
    "Frame",
    "Records",
    "Source",
    "Tracked",
    "Tracker",
    "VideoReader",
    "VideoWriter",
    "ahead",
    "draw_tracked",
    "is_live",
    "open_video",
    "open_writer",
    "shared_out",
    "source_files",
    "tracked_frames",
]
