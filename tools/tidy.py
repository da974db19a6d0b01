"""What of an executed notebook is the same after each run: what `make report` and a save in `make lab` leave in it."""

import re

import nbformat


def is_chapter(name):
    """Whether a notebook of this name is one of the report's own chapters, which have a number."""
    return bool(re.match(r"\d\d_", name))


def saved(model, path, **_):
    """JupyterLab's hook before it writes a file: a chapter that was run and saved is what git has."""
    folder, _, name = path.strip("/").rpartition("/")
    if model["type"] == "notebook" and folder == "notebooks" and is_chapter(name):
        model["content"] = tidy(nbformat.from_dict(model["content"]))


def tidy(notebook):
    """Leave in an executed notebook what is the same after each run: no times, no widgets, no progress bars.

    JupyterLab folds the code that a page folds, too, but for the parameters, which are there to be changed.
    """
    notebook.metadata = nbformat.from_dict({
        "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
        "language_info": {"name": "python", "file_extension": ".py", "mimetype": "text/x-python",
                          "nbconvert_exporter": "python", "pygments_lexer": "ipython3"}})  # as nbconvert asks for
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        folded = cell.cell_type == "code" and not {"shown", "parameters"} & {*tags}
        cell.metadata = nbformat.from_dict(({"jupyter": {"source_hidden": True}} if folded else {})
                                           | ({"tags": tags} if tags else {}))
    for count, cell in enumerate(code, 1):
        cell.execution_count = count
        outputs, cell.outputs = cell.outputs, []
        for output in outputs:
            if output.output_type == "stream" and cell.outputs and cell.outputs[-1].get("name") == output.name:
                cell.outputs[-1].text += output.text  # how a stream is cut is chance
                continue
            if output.output_type == "execute_result":
                output.execution_count = count
            alive = "data" in output and output.data.pop("application/vnd.jupyter.widget-view+json", None)
            if alive and output.data.keys() <= {"text/plain"}:  # its text only names the widget
                continue
            if output.get("data") == {}:  # a bar that is done
                continue
            cell.outputs.append(output)
    return notebook
