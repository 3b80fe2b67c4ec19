"""Errors in the words of who types commands: what they say of methods of the API is said of the commands for them."""

import re

COMMANDS = {
    "ChangeClasses": "framehouse classes",
    "ChangeImages": "framehouse change",
    "CloneDataset": "framehouse clone",
    "CompareVersions": "framehouse versions compare",
    "CompleteUpload": "framehouse import",
    "ConvertArchive": "framehouse convert",
    "CreateDataset": "framehouse create",
    "CreateKey": "framehouse keys create",
    "CreateRecipe": "framehouse recipes save",
    "CreateUpload": "framehouse import",
    "CreateVersion": "framehouse versions create",
    "DeleteDataset": "framehouse delete",
    "DeleteExport": "framehouse exports delete",
    "DeleteRecipe": "framehouse recipes delete",
    "ExportDataset": "framehouse export",
    "GetDataset": "framehouse show",
    "GetExport": "framehouse exports show",
    "GetImage": "framehouse image",
    "GetVersion": "framehouse versions show",
    "ImportDataset": "framehouse import",
    "ListClasses": "framehouse classes",
    "ListDatasets": "framehouse datasets",
    "ListDuplicates": "framehouse duplicates",
    "ListExports": "framehouse exports",
    "ListFormats": "framehouse formats",
    "ListImages": "framehouse images",
    "ListIssues": "framehouse issues",
    "ListJobs": "framehouse jobs",
    "ListKeys": "framehouse keys",
    "ListRecipes": "framehouse recipes",
    "ListRemovals": "framehouse removals",
    "ListVersions": "framehouse versions",
    "PreviewLoss": "framehouse export --dry-run",
    "PurgeDataset": "framehouse delete --purge",
    "RedistributeSplits": "framehouse splits --redistribute",
    "RestoreDataset": "framehouse restore",
    "RestoreImages": "framehouse removals",
    "RestoreVersion": "framehouse versions restore",
    "RetryJob": "framehouse jobs retry",
    "RevokeKey": "framehouse keys revoke",
    "UpdateAnnotations": "framehouse annotate",
    "UpdateDataset": "framehouse edit",
    "UpdateRecipe": "framehouse recipes save",
    "UpdateVersion": "framehouse versions describe",
}
"""The command for each method that an error may name."""
REMEDIES = {
    "ETAG_STALE": "somebody has changed it meanwhile: look at it again, and repeat the command if it still holds; with "
    "--etag, give the one it has now",
    "DATASET_BUSY": "run the command again when others have finished",
}
"""What to do, by the reason of an error."""
_METHOD = re.compile(rf"(?<!\w)(?:{'|'.join(COMMANDS)})(?!\w)")


def in_commands(text: str) -> str:
    """The text with commands where it names methods."""
    return _METHOD.sub(lambda found: f"`{COMMANDS[found[0]]}`", text)
