# frozen_string_literal: true

require "fileutils"
require "io/nonblock"
require "io/wait"
require "json"
require "etc"
require "tmpdir"
require_relative "profile_directory"

# Headless Chromium, told what to do over a pair of pipes (--remote-debugging-pipe): requests go in
# and answers come out as JSON objects that end in a zero byte. No WebSocket is involved in that.
class Chromium
  TIMEOUT = 60
  PROGRAMS = %w[chromium chromium-browser google-chrome].freeze
  FLAGS = %w[
    --headless --no-sandbox --disable-gpu --disable-quic --disable-dev-shm-usage --no-first-run
    --disable-background-networking --disable-component-update --disable-sync
    --remote-debugging-pipe
  ].freeze

  class Failed < StandardError; end

  def self.program
    PROGRAMS.product(ENV.fetch("PATH").split(":")).map { |name, dir| File.join(dir, name) }
            .find { |path| File.executable?(path) } || raise(Failed, "there is no Chromium")
  end

  def initialize
    @profile = Dir.mktmpdir("chromium")
    @log = File.join(@profile, "log")
    asks, @requests = IO.pipe
    @answers, tells = IO.pipe
    # Chromium reads from descriptor 3 and writes to descriptor 4, and takes EAGAIN for the end.
    [asks, tells].each { |pipe| pipe.nonblock = false }
    # Its socket there must have a short path.
    @pid = spawn({ "TMPDIR" => Etc.systmpdir },
                 self.class.program, *FLAGS, "--user-data-dir=#{@profile}/data", "about:blank",
                 3 => asks, 4 => tells, in: File::NULL, %i[out err] => @log, pgroup: true)
    [asks, tells].each(&:close)
    @last_id = 0
    @unread = +"".b
  end

  # A window of its own.
  def open(url)
    target = call("Target.createTarget", url: "about:blank", newWindow: true).fetch("targetId")
    session = call("Target.attachToTarget", targetId: target, flatten: true).fetch("sessionId")
    Window.new(self, session).tap { |window| window.visit(url) }
  end

  # Sends one command of the DevTools protocol and returns its result.
  def call(command, session: nil, **params)
    request = { id: @last_id += 1, method: command, params: params, sessionId: session }.compact
    @requests.write(JSON.generate(request), "\0")
    loop do
      answer = read
      next unless answer["id"] == @last_id
      raise Failed, "#{command}: #{answer["error"]}" if answer["error"]

      return answer.fetch("result")
    end
  end

  def quit
    Process.kill("KILL", -@pid)
    Process.wait(@pid)
  ensure
    [@requests, @answers].each(&:close)
    ProfileDirectory.remove(@profile)
  end

  private

  def read
    until (length = @unread.index("\0"))
      raise Failed, "nothing came for #{TIMEOUT} s" unless @answers.wait_readable(TIMEOUT)

      @unread << @answers.readpartial(1_048_576)
    end
    JSON.parse(@unread.slice!(0..length).chop.force_encoding("UTF-8"))
  rescue EOFError
    raise Failed, "Chromium ended: #{File.read(@log)}"
  end

  # One window of the browser.
  class Window
    def initialize(browser, session)
      @browser = browser
      @session = session
    end

    def visit(url)
      call("Page.navigate", url: url)
      wait_until("document.readyState === 'complete' && location.href !== 'about:blank'")
    end

    # The value of a JavaScript expression; a promise is waited for.
    def evaluate(expression)
      answer = call("Runtime.evaluate", expression: expression, awaitPromise: true,
                                        returnByValue: true)
      failure = answer["exceptionDetails"]
      raise Failed, failure.dig("exception", "description") || failure["text"] if failure

      answer.dig("result", "value")
    end

    # Waits, in the page, until the expression is true.
    def wait_until(condition, seconds: 10)
      evaluate(<<~JAVASCRIPT) || raise(Failed, "not within #{seconds} s: #{condition}")
        new Promise((done) => {
          const since = performance.now();
          const look = () => {
            if (#{condition}) done(true);
            else if (performance.now() - since > #{seconds * 1000}) done(false);
            else setTimeout(look, 20);
          };
          look();
        })
      JAVASCRIPT
    end

    # Text that a person would see of an element.
    def text(selector) = evaluate("document.querySelector(#{selector.to_json}).innerText")

    def click(selector) = evaluate("document.querySelector(#{selector.to_json}).click()")

    # Chooses a file, as a person would in the dialog.
    def choose(selector, path)
      document = call("DOM.getDocument").dig("root", "nodeId")
      node = call("DOM.querySelector", nodeId: document, selector: selector).fetch("nodeId")
      call("DOM.setFileInputFiles", nodeId: node, files: [path])
    end

    # Types into a field in place of what is there, and presses Enter.
    def type(selector, words)
      field = "document.querySelector(#{selector.to_json})"
      wait_until("!#{field}.disabled")
      evaluate("#{field}.focus(); #{field}.select()")
      call("Input.insertText", text: words)
      press("Enter")
    end

    KEYS = {
      "Enter" => { windowsVirtualKeyCode: 13, text: "\r" }, "Tab" => { windowsVirtualKeyCode: 9 }
    }.freeze
    private_constant :KEYS

    def press(key)
      event = { key: key, code: key, **KEYS.fetch(key) }
      %w[keyDown keyUp].each { |type| call("Input.dispatchKeyEvent", type: type, **event) }
    end

    def screenshot(path, width:, height:, scheme: "light", mobile: false)
      call("Emulation.setDeviceMetricsOverride", width: width, height: height, mobile: mobile,
                                                 deviceScaleFactor: mobile ? 2 : 1)
      call("Emulation.setEmulatedMedia",
           features: [{ name: "prefers-color-scheme", value: scheme }])
      # The second frame after the change has been laid out and painted.
      evaluate("new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(r)))")
      png = call("Page.captureScreenshot", format: "png").fetch("data").unpack1("m")
      FileUtils.mkdir_p(File.dirname(path))
      File.binwrite(path, png)
    end

    def call(command, **params) = @browser.call(command, session: @session, **params)
  end
end
