// Faces in a picture, with ncnn and OpenCV. RGB 0-255 goes in; normalisation is in the network.
// g++ -std=c++17 faces.cpp -fopenmp $(pkg-config --cflags --libs ncnn opencv4)
#include <ncnn/net.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <opencv2/opencv.hpp>
#include <vector>

struct Face {
    float score, x1, y1, x2, y2, points[10];
};

static float iou(const Face& a, const Face& b) {
    float width = std::min(a.x2, b.x2) - std::max(a.x1, b.x1), height = std::min(a.y2, b.y2) - std::max(a.y1, b.y1);
    float both = std::max(0.f, width) * std::max(0.f, height);
    return both / ((a.x2 - a.x1) * (a.y2 - a.y1) + (b.x2 - b.x1) * (b.y2 - b.y1) - both);
}

int main(int count, char** arguments) {
    cv::Mat picture = count == 2 ? cv::imread(arguments[1]) : cv::Mat();
    if (picture.empty()) {
        std::fprintf(stderr, "%s: one picture that can be read\n", arguments[0]);
        return 1;
    }
@FIT@
    cv::Mat padded;
    cv::copyMakeBorder(picture, padded, 0, rows - picture.rows, 0, columns - picture.cols, cv::BORDER_CONSTANT,
                       cv::Scalar(104, 117, 123));

    ncnn::Net net;
    net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = false;  // on for speed on ARM
    if (net.load_param("@MODEL@") || net.load_model("@BIN@")) {
        std::fprintf(stderr, "@MODEL@, @BIN@: not in this folder, or ncnn cannot load them\n");
        return 1;
    }
    ncnn::Extractor extractor = net.create_extractor();
    ncnn::Mat out0, out1, out2;
    if (extractor.input("in0", ncnn::Mat::from_pixels(padded.data, ncnn::Mat::PIXEL_BGR2RGB, columns, rows)) ||
        extractor.extract("out0", out0) || extractor.extract("out1", out1) || extractor.extract("out2", out2)) {
        std::fprintf(stderr, "@MODEL@: ncnn cannot run it on a picture of %dx%d\n", columns, rows);
        return 1;
    }
    const float *scores = out0, *boxes = out1, *landmarks = out2;

    std::vector<Face> faces;
@DECODE@
    std::sort(faces.begin(), faces.end(), [](const Face& a, const Face& b) { return a.score > b.score; });
    std::vector<Face> kept;
    for (const Face& face : faces)
        if (std::none_of(kept.begin(), kept.end(), [&](const Face& better) { return iou(face, better) > @IOU@f; }))
            kept.push_back(face);
    // In the pixels of the picture as it came; points are shrunk as the box is.
    for (const Face& f : kept)
        std::printf("%.3f  %.1f %.1f %.1f %.1f\n", f.score, f.x1 / shrink, f.y1 / shrink, f.x2 / shrink, f.y2 / shrink);
}
