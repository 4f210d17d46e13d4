"""A job: find the field boundaries of a place and hand them back as polygons.

Submitted without arguments it takes a county by its name and the recipe FTW:

    landloom run samples/jobs/field_boundaries.py
    landloom run samples/jobs/field_boundaries.py -- --aoi s3://bucket/farm.geojson --crs 32633
"""

from __future__ import annotations

import argparse
import os
from datetime import datetime

import geopandas as gpd
import wkls

from rasterflow_remote import RasterflowClient
from rasterflow_remote.data_models import ModelRecipes, VectorizeMethodEnum


def read_place(place: str, aoi: str | None) -> gpd.GeoDataFrame:
    """Return the outline of `country/region/name`, or of the file `aoi` where one is named."""
    if aoi is not None:
        return gpd.read_file(aoi)
    country, region, name = place.split("/", 2)
    # In a job wkls takes brackets with the names that people write.
    county = wkls[country][region][name]  # type: ignore[index]
    return gpd.read_file(county.geojson())


def read_arguments() -> argparse.Namespace:
    """Return what the command line says; everything has a default."""
    parser = argparse.ArgumentParser(description="Find the field boundaries of a place.")
    parser.add_argument("--place", default="us/ks/Haskell County", help="country/region/name")
    parser.add_argument("--aoi", help="a GeoJSON file or URI, instead of --place")
    parser.add_argument("--recipe", default=ModelRecipes.FTW.name)
    parser.add_argument("--start", type=datetime.fromisoformat, default=datetime(2023, 1, 1))  # noqa: DTZ001 - the client reads it as UTC
    parser.add_argument("--end", type=datetime.fromisoformat, default=datetime(2024, 1, 1))  # noqa: DTZ001 - the client reads it as UTC
    parser.add_argument("--crs", type=int, default=3857, help="EPSG code of the pixels; 0: UTM")
    parser.add_argument("--threshold", type=float, default=0.5)
    return parser.parse_args()


def main() -> None:
    """Build both seasons' mosaics, predict, vectorize, and print where everything is."""
    chosen = read_arguments()
    place = read_place(chosen.place, chosen.aoi)
    # A run's own object: two runs at a time must not read each other's place.
    run = os.getenv("LANDLOOM_RUN_ID", "local")
    aoi = f"{os.environ['USER_S3_PATH']}field_boundaries/{run}.parquet"
    place.to_parquet(aoi)
    print(f"Area of interest: {aoi}")

    client = RasterflowClient(cache=False)
    prediction = client.build_and_predict_mosaic_recipe(
        aoi=aoi,
        start=chosen.start,
        end=chosen.end,
        crs_epsg=chosen.crs or None,
        model_recipe=chosen.recipe,
    )
    print(f"Prediction: {prediction}")

    fields = client.vectorize_mosaic(
        mosaic=prediction,
        features=["field"],
        threshold=chosen.threshold,
        vectorize_method=VectorizeMethodEnum.SEMANTIC_SEGMENTATION_RASTERIO,
        vectorize_config={"stats": True},
    )
    print(f"Fields: {fields}")


if __name__ == "__main__":
    main()
