// A CloudFront function (cloudfront-js-2.0, viewer request) in front of a bucket: folders get their page, as JSON for who
// prefers JSON. It changes the path before the cache is asked, so that each form is cached under its own name.
// A response-headers policy adds `Vary: Accept`.
function handler(event) {
  var request = event.request;
  var simple = 'application/vnd.pypi.simple.';
  var quality = {};
  (request.headers.accept ? request.headers.accept.value : '').toLowerCase().split(',').forEach(function (range) {
    var parts = /^\s*([^\s;]+)(?:.*;\s*q=([\d.]+))?/.exec(range);
    if (parts) {
      quality[parts[1]] = parts[2] === undefined ? 1 : parseFloat(parts[2]);
    }
  });
  function best(types) {
    return types.reduce(function (found, type) { return type in quality ? Math.max(found, quality[type]) : found; }, -1);
  }
  var named = best([simple + 'v1+json', simple + 'latest+json']);
  var json = named < 0 ? best(['application/*']) : named;
  var html = best([simple + 'v1+html', simple + 'latest+html', 'text/html']);

  if (/^\/simple\/([a-z0-9-]+\/)?$/.test(request.uri)) {
    request.uri += json > 0 && json >= html ? 'index.v1_json' : 'index.html';
  } else if (/^\/(links|browse)\/$/.test(request.uri)) {
    request.uri += 'index.html';
  } else if (/^\/(simple|links|browse|simple\/[a-z0-9-]+)$/.test(request.uri)) {
    return { statusCode: 301, statusDescription: 'Moved Permanently', headers: { location: { value: request.uri + '/' } } };
  }
  return request;
}
