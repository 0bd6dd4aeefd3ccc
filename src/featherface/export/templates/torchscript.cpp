// Faces in a picture, with libtorch and OpenCV. RGB 0-255 goes in; normalisation is in the network.
// cmake: find_package(Torch), find_package(OpenCV); target_link_libraries(faces ${TORCH_LIBRARIES} ${OpenCV_LIBS})
#include <torch/script.h>

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

    cv::Mat input = cv::dnn::blobFromImage(padded, 1.0, {}, {}, /*swapRB=*/true);
    torch::NoGradGuard guard;
    auto network = torch::jit::load("@MODEL@");
    auto outputs = network.forward({torch::from_blob(input.data, {1, 3, rows, columns})}).toTuple()->elements();
    auto out0 = outputs[0].toTensor().contiguous(), out1 = outputs[1].toTensor().contiguous(),
         out2 = outputs[2].toTensor().contiguous();
    const float *scores = out0.data_ptr<float>(), *boxes = out1.data_ptr<float>(), *landmarks = out2.data_ptr<float>();

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
