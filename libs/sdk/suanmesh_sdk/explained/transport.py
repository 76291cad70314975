"""What the transport refuses with."""

from __future__ import annotations

from typing import Final

from suanmesh_kernel.texts import Explanation, Text

EXPLAINED: Final[dict[str, Explanation]] = {
    "FIELD_INVALID": Explanation(
        "caller",
        Text(
            "A field of a dataset or a transfer is out of its range, or names a site that there is none of; "
            "`field` names it.",
            "数据集或搬运的字段超出范围，或所指的站点不存在；`field` 是字段名。",
        ),
        Text(
            "Correct the field that is named; a dataset has at most 100,000 files and 16 labels of residency.",
            "改正所指的字段；一个数据集最多 100000 个文件和 16 个辖区标签。",
        ),
        ("suan data put", "suan site list"),
    ),
    "DATASET_UNKNOWN": Explanation(
        "caller",
        Text(
            "No dataset of that name was published, or it is another party's, which is answered the same way.",
            "没有发布过该名称的数据集，或它属于另一主体（两者的答复相同）。",
        ),
        Text("Correct the name: `suan data list` shows your datasets.", "改正名称：`suan data list` 列出你的数据集。"),
        ("suan data list", "suan data put"),
    ),
    "DATASET_EXISTS": Explanation(
        "caller",
        Text(
            "The name belongs to another party, or a result of a job would take the place of other content; "
            "`digest` is that of what is there.",
            "该名称属于另一主体，或作业的结果会取代同名的其他内容；`digest` 是已有内容的摘要。",
        ),
        Text(
            "Put the content under another `--name`; a site gives a result its attempt's name by itself.",
            "用另一 `--name` 放入内容；作业的结果由站点自行改用该次尝试的名称。",
        ),
        ("suan data show", "suan data put"),
    ),
    "TRANSFER_UNKNOWN": Explanation(
        "caller",
        Text("No transfer of that name was made, or it is another party's.", "没有该名称的搬运，或它属于另一主体。"),
        Text("Correct the name: `suan transfer list` shows yours.", "改正名称：`suan transfer list` 列出你的搬运。"),
        ("suan transfer list",),
    ),
    "NO_REPLICA": Explanation(
        "caller",
        Text(
            "No site has the whole dataset, or the site that was named as the source has not.",
            "没有站点存有完整的数据集，或所指的来源站点没有。",
        ),
        Text(
            "See where it lies with `suan data show`, leave `--from` out, or bring the data again.",
            "用 `suan data show` 查看其所在，省略 `--from`，或重新放入数据。",
        ),
        ("suan data show", "suan data put"),
    ),
    "NOT_OWNER": Explanation(
        "caller",
        Text(
            "The dataset is another party's, the transfer goes to another site than the agent's, or the party does "
            "not name the site among its publishers.",
            "数据集属于另一主体，搬运的目标不是该代理的站点，或主体没有把该站点列为代发布站点。",
        ),
        Text(
            "Use your own data; to let another party's site publish for yours, add it with `suan party publishers "
            "--add`.",
            "使用本方的数据；若要让他方站点代为发布，用 `suan party publishers --add` 添加。",
        ),
        ("suan data list", "suan party publishers"),
    ),
    "TRANSITION_NOT_ALLOWED": Explanation(
        "agent",
        Text(
            "A report does not fit where the transfer stands, such as progress of one that has ended.",
            "所报内容与搬运的当前状态不符，例如上报已结束的搬运的进度。",
        ),
        Text(
            "Nothing for users: the agent leaves the transfer as it stands.",
            "用户无需处理：代理会保持该搬运的现状。",
        ),
        ("suan transfer show",),
    ),
    "SITE_NOT_REACHABLE": Explanation(
        "caller",
        Text(
            "The sites that have the data are known, and none of them can be read from: not heard of, or without a "
            "data plane.",
            "存有数据的站点已知，但都无法读取：失联，或没有数据面。",
        ),
        Text(
            "Wait until one of them is back: `suan site health`; or bring the data again elsewhere.",
            "等待其中之一恢复：`suan site health`；或在别处重新放入数据。",
        ),
        ("suan site health", "suan data show"),
    ),
    "DIGEST_MISMATCH": Explanation(
        "mesh",
        Text(
            "What was read back from disk, or came over the line, is not what the dataset's digest stands for: a "
            "disk or a line is at fault.",
            "从磁盘读回或经线路到达的内容与数据集的摘要不符：磁盘或线路有故障。",
        ),
        Text(
            "Do not use the data; fetch it again, from another site where there is one, and have the disk of the "
            "named one checked.",
            "不要使用该数据；重新获取，若有其他站点则换一个，并检查所指站点的磁盘。",
        ),
        ("suan data get", "suan data show"),
    ),
    "FILE_UNKNOWN": Explanation(
        "caller",
        Text("The dataset has no file of that path.", "数据集中没有该路径的文件。"),
        Text(
            "Fetch the whole, or correct the path: it is relative to the folder that was put.",
            "取回整个数据集，或改正路径：路径相对于放入的文件夹。",
        ),
        ("suan data get",),
    ),
    "RESIDENCY_DENIED": Explanation(
        "caller",
        Text(
            "The dataset must stay within jurisdictions that its owner has named, and the target lies in another "
            "one, or declares none.",
            "数据集须留在所有者指定的辖区内，而目标站点位于其他辖区，或没有声明辖区。",
        ),
        Text(
            "Choose a site within them: `suan site list` has the residency of each. No operator can overrule it.",
            "选择辖区内的站点：`suan site list` 显示各站点的辖区。运营方也不能越过此约束。",
        ),
        ("suan site list", "suan data show"),
    ),
    "DATASETS_TOO_MANY": Explanation(
        "caller",
        Text(
            "The party has as many datasets as it may have, 20,000 unless configured; results of jobs are taken "
            "nevertheless.",
            "主体的数据集数已达上限（默认 20000）；作业的结果仍会接收。",
        ),
        Text(
            "Put many files into one dataset, or have SUANMESH_TRANSPORT_PARTY_DATASETS_MAX raised.",
            "把多个文件放入一个数据集，或请运营方提高 SUANMESH_TRANSPORT_PARTY_DATASETS_MAX。",
        ),
        ("suan data list",),
    ),
    "TRANSFERS_TOO_MANY": Explanation(
        "caller",
        Text(
            "The party's users have begun as many transfers as they may, 5,000 unless configured; ended ones count "
            "for a day.",
            "主体的用户发起的搬运已达上限（默认 5000）；已结束的在一天内仍计算在内。",
        ),
        Text("Wait until some are archived, a day after their end.", "等待部分搬运在结束一天后归档。"),
        ("suan transfer list",),
    ),
    "DATASET_IN_USE": Explanation(
        "caller",
        Text(
            "Jobs that have not ended read the dataset, or that version of it, or make it; `jobs` names some of them.",
            "尚未结束的作业读取该数据集或其该版本，或正在产生它；`jobs` 给出其中几个。",
        ),
        Text(
            "Wait for the jobs or cancel them, then remove it: `suan job list 'inputs:\"datasets/NAME@\"'` lists them.",
            "等待这些作业结束或取消它们，然后再删除：`suan job list 'inputs:\"datasets/名称@\"'` 列出它们。",
        ),
        ("suan job list", "suan job cancel", "suan data rm"),
    ),
    "DATA_TOO_MUCH": Explanation(
        "caller",
        Text(
            "The party's datasets would have more bytes than it may have, 10 TiB unless configured.",
            "主体的数据集总字节数将超过上限（默认 10 TiB）。",
        ),
        Text(
            "Bring less, or have SUANMESH_TRANSPORT_PARTY_BYTES_MAX raised.",
            "减少放入的数据，或请运营方提高 SUANMESH_TRANSPORT_PARTY_BYTES_MAX。",
        ),
        ("suan data list",),
    ),
}
"""By reason."""
