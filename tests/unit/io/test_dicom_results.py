import json
import warnings
from dataclasses import replace

import highdicom
import numpy as np
import pydicom
import pytest

from breastseg.core.errors import GeometryError, InputError
from breastseg.core.image import Image
from breastseg.core.lesion import measure_planar_lesions
from breastseg.core.lesion_volume import measure_lesions
from breastseg.io.dicom_results import (
    Finding,
    Maker,
    Picture,
    make_dicom_results,
    new_uid,
    write_dicom_results,
)
from breastseg.io.dicom_results.codes import VOLUME_QUANTITIES
from breastseg.io.dicom_results.segmentation import segmentation
from breastseg.io.dicom_results.sources import read_sources
from tests.made_series import PATIENT_NAME, affine_of, write_ct, write_ultrasound

MODEL = Maker(algorithm="unet", version="1.0")


@pytest.fixture
def labels():
    labels = np.zeros((4, 16, 12), np.int32)
    labels[1:3, 2:6, 3:8] = 1
    labels[3, 10:14, 1:3] = 2
    return labels


@pytest.fixture
def series(tmp_path, labels):
    pixels = np.random.default_rng(0).integers(-900, 900, labels.shape)
    return write_ct(tmp_path / "ct", pixels, affine_of())


def findings_of(series, labels, laterality=None):
    lesions = measure_lesions(series.image, labels, in_hu=True)
    return [
        Finding(lesion=lesion, tracking_uid=new_uid(), laterality=laterality) for lesion in lesions
    ]


def saved(folder, results):
    return {path.name: pydicom.dcmread(path) for path in write_dicom_results(folder, results)}


def items(dataset):
    for item in dataset.get("ContentSequence", []):
        yield item
        yield from items(item)


def comment_in(report):
    (text,) = [
        item.TextValue
        for item in items(report)
        if item.ValueType == "TEXT" and item.ConceptNameCodeSequence[0].CodeMeaning == "Comment"
    ]
    return text


def measures_in(report):
    groups = [
        item
        for item in items(report)
        if item.ValueType == "CONTAINER"
        and item.ConceptNameCodeSequence[0].CodeMeaning == "Measurement Group"
    ]
    return [
        [
            (
                item.ConceptNameCodeSequence[0].CodeValue,
                float(item.MeasuredValueSequence[0].NumericValue),
                item.MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0].CodeValue,
            )
            for item in items(group)
            if item.ValueType == "NUM"
        ]
        for group in groups
    ]


def test_the_report_says_what_was_measured_and_the_segments_have_the_same_uids(
    tmp_path, series, labels
):
    findings = findings_of(series, labels, "left")
    files = saved(tmp_path, make_dicom_results(series, labels, findings, MODEL))
    segmentation, report = files["seg.dcm"], files["sr.dcm"]
    stated = measures_in(report)
    assert len(stated) == 2
    for finding, measures in zip(findings, stated, strict=True):
        expected = [
            (each.name.value, round(getattr(finding.lesion, each.field), 4), each.unit.value)
            for each in VOLUME_QUANTITIES
            if getattr(finding.lesion, each.field) is not None
        ]
        assert measures == expected
        assert len(measures) == 5
    uids = [finding.tracking_uid for finding in findings]
    assert [segment.TrackingUID for segment in segmentation.SegmentSequence] == uids
    tracked = [
        item.UID for item in items(report) if item.ValueType == "UIDREF" and item.UID in uids
    ]
    assert tracked == uids
    sides = [
        item.ConceptCodeSequence[0].CodeValue
        for item in items(report)
        if item.ValueType == "CODE" and item.ConceptNameCodeSequence[0].CodeMeaning == "Laterality"
    ]
    assert sides == ["7771000"] * 2


def test_references_are_complete_and_of_the_lesions_slices_alone(tmp_path, series, labels):
    sources = [pydicom.dcmread(path) for path in series.instance_paths]
    uids = [source.SOPInstanceUID for source in sources]
    files = saved(tmp_path, make_dicom_results(series, labels, findings_of(series, labels), MODEL))
    segmentation, report = files["seg.dcm"], files["sr.dcm"]
    (referenced,) = segmentation.ReferencedSeriesSequence
    assert referenced.SeriesInstanceUID == series.series_instance_uid
    assert {each.ReferencedSOPInstanceUID for each in referenced.ReferencedInstanceSequence} == set(
        uids
    )
    images = [
        item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        for item in items(report)
        if item.ValueType == "IMAGE"
    ]
    seg_uid = segmentation.SOPInstanceUID
    assert images == [seg_uid, uids[1], uids[2], seg_uid, uids[3]]
    evidence = [
        each.ReferencedSOPInstanceUID
        for name in ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence")
        for study in report.get(name, [])
        for one in study.ReferencedSeriesSequence
        for each in one.ReferencedSOPSequence
    ]
    assert set(evidence) == {seg_uid, *uids}
    for dataset in files.values():
        assert dataset.StudyInstanceUID == series.study_instance_uid
        assert dataset.PatientName == PATIENT_NAME
        assert dataset.PatientID == "0815"


def test_nothing_claims_to_be_verified_or_to_be_a_diagnosis(tmp_path, series, labels):
    files = saved(tmp_path, make_dicom_results(series, labels, findings_of(series, labels), MODEL))
    report = files["sr.dcm"]
    assert (report.VerificationFlag, report.CompletionFlag) == ("UNVERIFIED", "PARTIAL")
    assert report.PreliminaryFlag == "PRELIMINARY"
    for dataset in files.values():
        assert "research use" in dataset.SeriesDescription
        assert "254837009" not in str(dataset)
        assert "alignan" not in str(dataset)
    for segment in files["seg.dcm"].SegmentSequence:
        assert segment.SegmentedPropertyTypeCodeSequence[0].CodeValue == "4147007"
        assert segment.SegmentAlgorithmType == "AUTOMATIC"
        assert segment.SegmentAlgorithmName == "unet"


def test_what_a_reader_drew_is_manual_and_has_no_summary_of_algorithms(tmp_path, series, labels):
    results = make_dicom_results(series, labels, findings_of(series, labels), Maker())
    files = saved(tmp_path, results)
    kinds = {segment.SegmentAlgorithmType for segment in files["seg.dcm"].SegmentSequence}
    assert kinds == {"MANUAL"}
    assert "algorithms succeeded" not in str(files["sr.dcm"])
    assert "by a reader: 2" in comment_in(files["sr.dcm"])


def test_an_empty_result_writes_no_segmentation_but_a_report_that_says_so(tmp_path, series, labels):
    pixels = np.zeros((8, 10, 3), np.uint8)
    picture = Picture(pixels=pixels, caption="No lesion was marked", slices=(0, 4))
    results = make_dicom_results(series, labels * 0, [], MODEL, [picture])
    files = saved(tmp_path, results)
    assert set(files) == {"sr.dcm", "overlay-1.dcm"}
    assert "All algorithms succeeded; without findings" in str(files["sr.dcm"])
    assert "no proof that there is none" in comment_in(files["sr.dcm"])
    (study,) = files["sr.dcm"].CurrentRequestedProcedureEvidenceSequence
    assert len(study.ReferencedSeriesSequence[0].ReferencedSOPSequence) == 4


def test_a_capture_holds_the_picture_and_refers_to_its_slices(tmp_path, series, labels):
    pixels = np.random.default_rng(1).integers(0, 256, (8, 10, 3)).astype(np.uint8)
    picture = Picture(pixels=pixels, caption="Lesion 1", slices=(1, 3))
    findings = findings_of(series, labels)
    files = saved(tmp_path, make_dicom_results(series, labels, findings, MODEL, [picture]))
    capture = files["overlay-1.dcm"]
    np.testing.assert_array_equal(capture.pixel_array, pixels)
    expected = [pydicom.dcmread(path).SOPInstanceUID for path in series.instance_paths[1:3]]
    assert [each.ReferencedSOPInstanceUID for each in capture.SourceImageSequence] == expected


def test_256_lesions_each_have_a_segment(tmp_path):
    labels = np.zeros((2, 40, 60), np.int32)
    labels[0, ::2, ::2] = np.arange(1, 601).reshape(20, 30)
    labels[labels > 256] = 0
    series = write_ct(tmp_path / "ct", np.zeros(labels.shape), affine_of())
    findings = tuple(findings_of(series, labels))
    made = segmentation(read_sources(series), labels, findings, MODEL)
    assert len({segment.TrackingUID for segment in made.SegmentSequence}) == 256
    frames = highdicom.seg.Segmentation.from_dataset(made).get_pixels_by_source_instance(
        [pydicom.dcmread(path).SOPInstanceUID for path in series.instance_paths],
        combine_segments=True,
        assert_missing_frames_are_empty=True,
    )
    np.testing.assert_array_equal(frames, labels)


@pytest.mark.parametrize("spacing_mm", [None, 0.1])
def test_an_ultrasound_image_is_reported_in_its_plane(tmp_path, spacing_mm):
    labels = np.zeros((1, 20, 30), np.int32)
    labels[0, 4:9, 5:15] = 1
    series = write_ultrasound(tmp_path / "us", np.full((20, 30), 90), spacing_mm)
    (lesion,) = measure_planar_lesions(
        labels, spacing_mm=series.image.spacing_mm, rows_run_with_depth=True
    )
    finding = Finding(lesion=lesion, tracking_uid=new_uid(), laterality="left")
    files = saved(tmp_path, make_dicom_results(series, labels, [finding], Maker()))
    (measures,) = measures_in(files["sr.dcm"])
    if spacing_mm is None:
        assert measures[0] == ("42798000", 50, "{pixels}")
        assert lesion.depth_to_width is None
    else:
        assert measures[0] == ("42798000", 0.5, "mm2")
        assert lesion.depth_to_width == 0.5
    templates = [
        item.ContentTemplateSequence[0].TemplateIdentifier
        for item in items(files["sr.dcm"])
        if "ContentTemplateSequence" in item
    ]
    assert templates == ["1410"]
    assert "FrameOfReferenceUID" not in files["seg.dcm"]
    assert "PatientOrientation" in files["seg.dcm"]
    (reference,) = [
        item.ReferencedSOPSequence[0]
        for item in items(files["sr.dcm"])
        if item.ValueType == "IMAGE"
        and item.ReferencedSOPSequence[0].ReferencedSOPClassUID == files["seg.dcm"].SOPClassUID
    ]
    assert reference.ReferencedFrameNumber == 1
    assert "ReferencedSegmentNumber" not in reference
    np.testing.assert_array_equal(files["seg.dcm"].pixel_array, labels[0])


def test_a_series_of_one_slice(tmp_path):
    labels = np.ones((1, 6, 7), np.int32)
    series = write_ct(tmp_path / "ct", np.zeros(labels.shape), affine_of())
    results = make_dicom_results(series, labels, findings_of(series, labels), MODEL)
    assert saved(tmp_path, results)["seg.dcm"].NumberOfFrames == 1


def test_no_warning_names_the_patient(tmp_path, series, labels):
    for path in series.instance_paths:
        header = pydicom.dcmread(path)
        header.PatientName = "Onlyonename"
        header.save_as(path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        make_dicom_results(series, labels, findings_of(series, labels), MODEL)
    assert "Onlyonename" not in " ".join(str(each.message) for each in caught)


def test_refuses_a_grid_that_is_not_that_of_the_files(series, labels):
    moved = series.image.affine.copy()
    moved[0, 3] += 0.01
    elsewhere = replace(series, image=Image(pixels=series.image.pixels, affine=moved))
    with pytest.raises(GeometryError, match="resample it back"):
        make_dicom_results(elsewhere, labels, [], MODEL)
    fewer = replace(series, instance_paths=series.instance_paths[:-1])
    with pytest.raises(GeometryError, match="one file for each of 4 slices, got 3"):
        make_dicom_results(fewer, labels, [], MODEL)


def test_refuses_a_finding_without_voxels_and_a_file_that_is_gone(series, labels):
    findings = findings_of(series, labels)
    with pytest.raises(InputError, match="lesion 2 has no voxel"):
        make_dicom_results(series, labels * (labels == 1), findings, MODEL)
    series.instance_paths[1].unlink()
    with pytest.raises(InputError, match="cannot be read any more"):
        make_dicom_results(series, labels, findings, MODEL)


def test_missing_attributes_of_type_2_are_written_empty(series, labels, tmp_path):
    for path in series.instance_paths:
        header = pydicom.dcmread(path)
        del header.AccessionNumber, header.PatientBirthDate, header.StudyTime
        header.save_as(path)
    files = saved(tmp_path, make_dicom_results(series, labels, findings_of(series, labels), MODEL))
    assert files["seg.dcm"].AccessionNumber in ("", None)
    assert json.dumps(str(files["sr.dcm"].PatientBirthDate)) in ('""', '"None"')
