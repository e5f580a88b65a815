"""Rows leave the house: a finished dataset with its card, views for seven trainers, a hub.

dataset.py   train.jsonl -> train.parquet, README.md (card.py), dataset_info.json
views.py     one row -> trl | messages | sharegpt | alpaca | openai | verl | swift
write.py     a run -> a folder in one of these formats, with its README.md (guide.py)
trainers.py  configuration for each trainer, with the loss on the completion only
hub.py       a finished dataset -> a hub repository
"""

from datagen.export.dataset import finish_dataset
from datagen.export.hub import push
from datagen.export.info import DatasetInfo
from datagen.export.views import FORMATS
from datagen.export.write import Exported, export

__all__ = ["FORMATS", "DatasetInfo", "Exported", "export", "finish_dataset", "push"]
