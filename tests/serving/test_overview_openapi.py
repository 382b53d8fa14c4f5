import jsonschema
import pytest

from raymm.serving.overview_openapi import HISTORY, STATUS


@pytest.mark.parametrize("schema", [STATUS, HISTORY])
def test_they_are_json_schemas_that_refuse_an_empty_answer(schema):
    jsonschema.Draft202012Validator.check_schema(schema)
    with pytest.raises(jsonschema.ValidationError, match="is a required property"):
        jsonschema.validate({}, schema)
