# frozen_string_literal: true

require_relative "../tls_audit/sslyze"
require_relative "../tls_audit/testssl"

# Results that bin/tls-audit makes of what the tools say; that it would notice.
RSpec.describe "bin/tls-audit", :extension do
  describe TlsAudit::Sslyze do
    def suites(*names)
      { "accepted_cipher_suites" => names.map do |n|
                                      { "cipher_suite" => { "name" => n } }
                                    end }
    end

    def good
      spoken = described_class::SPOKEN.transform_values do |_, names|
        suites(*names.map { |name| format(name, "RSA") })
      end
      results = described_class::REFUSED.transform_values { suites }.merge(spoken)
      described_class::EXPECTED.each { |_, scan, key, value| (results[scan] ||= {})[key] = value }
      curves = described_class::CURVES.map { |name| { "name" => name } }
      results.merge("certificate_info" => {}, "elliptic_curves" => { "supported_curves" => curves })
    end

    def findings(results = good, output: "127.0.0.1:1: OK - Compliant.", status: 0,
                 state: "COMPLETED")
      scans = results.transform_values { |result| { "status" => state, "result" => result } }
      server = { "scan_status" => "COMPLETED", "scan_result" => scans }
      json = { "sslyze_version" => "6", "server_scan_results" => [server] }
      described_class.new(json, output, status).report("RSA").findings.map(&:to_a)
    end

    it "finds nothing where there is nothing" do
      expect(findings).to be_empty
    end

    it "finds what the profile forbids" do
      output = "FAILED - Not compliant.\n        * tls_versions: {'TLSv1'} are supported\n"

      expect(findings(output: output, status: 1))
        .to eq([["tls_versions", "profile", "{'TLSv1'} are supported"]])
      expect(findings(output: "", status: 1).map(&:first)).to eq(["profile"])
      expect(findings(output: "").map(&:first)).to eq(["profile"])
    end

    it "finds a version, a suite or a curve that is new, and one that is gone" do
      curves = { "supported_curves" => [{ "name" => "X25519" }] }

      {
        "tls_1_1_cipher_suites" => suites("TLS_RSA_WITH_AES_128_CBC_SHA"),
        "tls_1_2_cipher_suites" => suites,
        "tls_1_3_cipher_suites" => suites("TLS_AES_128_GCM_SHA256"),
        "elliptic_curves" => curves
      }.each do |scan, result|
        expect(findings(good.merge(scan => result)).map { |finding| finding[1] })
          .to eq(["other than expected"])
      end
    end

    described_class::EXPECTED.each do |name, scan, key, value|
      it "finds it where #{name} is not #{value}" do
        other = value.is_a?(String) ? "VULNERABLE" : !value
        results = good
        results[scan] = results[scan].merge(key => other)

        expect(findings(results).map(&:first)).to eq([name])
      end
    end

    it "does not take for good what was not scanned" do
      expect(findings(state: "ERROR")).to match([["scan", :unknown, anything]])
      expect(findings(good.except("heartbleed"))).to match([["scan", :unknown, anything]])
      json = { "server_scan_results" => [] }
      expect(described_class.new(json, "", 0).report("RSA")).to be_inconclusive
    end
  end

  describe TlsAudit::Testssl do
    def entry(id, severity = "OK", finding = "fine")
      { "id" => id, "severity" => severity, "finding" => finding }
    end

    def report(*others, tried: described_class::TRIED)
      sections = { "protocols" => tried.map { |ids| entry(ids.last) }, "others" => others }
      described_class.new("version" => "3.0.8 ", "scanResult" => [sections]).report
    end

    it "finds nothing where there is nothing" do
      expect(report(entry("TLS_timestamp", "INFO")).findings).to be_empty
    end

    ["LOW", "MEDIUM", "HIGH", "CRITICAL", "NOT ok"].each do |severity|
      it "finds what is #{severity}" do
        expect(report(entry("SWEET32", severity)).findings.map(&:check)).to eq(["SWEET32"])
      end
    end

    it "wants another try where something could not be tried" do
      expect(report(entry("heartbleed", "WARN"))).to be_inconclusive
      expect(report(tried: described_class::TRIED[1..])).to be_inconclusive
      expect(described_class.new({}).report).to be_inconclusive
    end

    it "ignores what has a reason, and tells it" do
      result = report(entry("cert_revocation", "HIGH", "Neither CRL nor OCSP URI provided"))

      expect(result.findings).to be_empty
      expect(result.ignored).to match([[have_attributes(check: "cert_revocation"), /loopback/]])
    end
  end

  it "gives up on a tool that does not end, and leaves nothing of it behind" do
    program = "sleep 60 & sleep 60"

    expect { TlsAudit::Tool.output_of("/bin/sh", "-c", program, within: 0.2) }
      .to raise_error(TlsAudit::Failed, /took over 0.2 s/)
  end
end
